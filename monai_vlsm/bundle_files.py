# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundles that come with the package: in a checkout, or in an installed wheel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_vlsm.copying import copy_whole
from monai_vlsm.errors import UserError

__all__ = ["BundleCopyError", "bundle_names", "bundles_folder", "copy_bundle"]

_PACKAGE = Path(__file__).parent
_PARTS = ("LICENSE", "configs", "docs")


class BundleCopyError(UserError, ValueError):
    """A bundle that does not exist, or a place that is taken."""


def bundles_folder() -> Path:
    """The folder of the shipped bundles: that of the wheel (setup.py puts it there), else that of the checkout."""
    installed = _PACKAGE / "_bundles"
    return installed if installed.is_dir() else _PACKAGE.parent / "bundles"


def bundle_names() -> list[str]:
    """Names of the shipped bundles, sorted."""
    return sorted(file.parents[1].name for file in bundles_folder().glob("*/configs/train.json"))


def copy_bundle(name: str, output: str | Path) -> Path:
    """Copy a shipped bundle, without models and results, so that it can be changed and run.

    Args:
        name: of the bundle.
        output: folder that gets it as a subfolder of its name; made if needed.

    Returns:
        The folder of the copy.

    Raises:
        BundleCopyError: no such bundle, or something is there already.
        WriteError: the folder cannot be written.
    """
    if name not in bundle_names():
        raise BundleCopyError(f"no bundle {name!r}; there are {_listed(bundle_names())}")
    source, target = bundles_folder() / name, Path(output) / name
    if target.exists():
        raise BundleCopyError(f"{target} is there already; give another folder, or remove it first")
    others = {entry.name for entry in source.iterdir()} - set(_PARTS)
    copy_whole(source, target, others | {"__pycache__"})
    return target


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none: the installation is broken, install monai_vlsm again"
