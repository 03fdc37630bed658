# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The embedded sample as three sites, by the direction of its slices: axial, coronal, sagittal.

    python tools/split_sample.py DIR

Each folder has train.json and val.json; ``all`` has all three together.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from monai_vlsm.io import write_json
from monai_vlsm.samples import sample_dir

SITES = ("axial", "coronal", "sagittal")


def split(output: Path) -> None:
    """Write the folders ``axial``, ``coronal``, ``sagittal`` and ``all``, with copies of the images."""
    for site in (*SITES, "all"):
        for part in ("images", "masks"):
            shutil.copytree(sample_dir() / part, output / site / part, ignore=_others(site))
        for name in ("train.json", "val.json"):
            rows = json.loads((sample_dir() / name).read_text(encoding="utf-8"))
            write_json(output / site / name, [row for row in rows if site in ("all", _site(row["image"]))])


def _site(image: str) -> str:
    return Path(image).name.partition("_")[0]


def _others(site: str):  # type: ignore[no-untyped-def]
    def ignored(_folder: str, names: list[str]) -> list[str]:
        return [] if site == "all" else [name for name in names if _site(name) != site]

    return ignored


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, metavar="DIR", help="a new folder, which gets one for each site")
    split(parser.parse_args().output)
