# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Puts the bundles into the wheel; everything else stands in setup.cfg."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PARTS = ("LICENSE", "configs/*", "docs/*")  # of a bundle; not the models and scores of trainings in the checkout


class BuildWithBundles(build_py):
    """Copies ``bundles`` to ``monai_vlsm/_bundles``, where `monai_vlsm.bundle_files` finds them without a checkout."""

    def run(self) -> None:
        """Build the package, then add the bundles; an editable installation uses those of the checkout."""
        super().run()
        if self.editable_mode:
            return
        source, target = Path("bundles"), Path(self.build_lib) / "monai_vlsm" / "_bundles"
        for file in sorted(file for part in PARTS for file in source.glob(f"*/{part}")):
            copy = target / file.relative_to(source)
            self.mkpath(str(copy.parent))
            self.copy_file(str(file), str(copy))


setup(cmdclass={"build_py": BuildWithBundles})
