# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What to write for a folder of images and label maps, which ``data prompts`` does not describe."""

from __future__ import annotations

from pathlib import Path

from monai_vlsm.commands.prompt_cases import IMAGES, MASKS
from monai_vlsm.data import DatasetProblems, list_images
from monai_vlsm.data.facts import KnownFiles
from monai_vlsm.data.label_maps import read_label_map
from monai_vlsm.data.listing import MASK_BESIDE, ImagesNotFoundError
from monai_vlsm.data.problems import MissingFileError

__all__ = ["map_hint"]

LOOKED_AT = 20  # masks, since one may lack all classes but one
SHOWN = 4  # numbers or colours


def map_hint(folder: Path) -> str:
    """A sentence on the files that label maps need; empty where the first masks of a folder are none.

    Args:
        folder: with images and masks as `monai_vlsm.commands.prompt_cases.find_cases` takes them.
    """
    files = [str(file) for file in _masks(folder)[:LOOKED_AT]]
    facts = KnownFiles().facts({file: {"mask"} for file in files})
    faulty = [file for file in files if facts[file].mask_fault]
    keys = sorted({key for file in faulty for key in _keys(file)}, key=lambda key: (len(key), key))
    if len(keys) < 2:
        return ""
    names = ", ".join(f'"{key}": "NAME"' for key in keys[:SHOWN]) + ", ..." * (len(keys) > SHOWN)
    return (
        f"{faulty[0]} is a label map: name its values in {folder / 'labels.json'}, {{{names}}}, beside a list "
        "train.csv with the columns image,mask; such lists need no prompts"
    )


def _masks(folder: Path) -> list[Path]:
    home = folder / MASKS if (folder / MASKS).is_dir() else folder / IMAGES
    try:
        listing = list_images(home if home.is_dir() else folder, series=False)
    except ImagesNotFoundError:
        return []
    return listing.images if home.name == MASKS else [one.path for one in listing.left_out if one.reason == MASK_BESIDE]


def _keys(file: str) -> list[str]:
    """The numbers of a label map, or the colours of one in colour; nothing of other files."""
    try:
        found = read_label_map(file)
    except (DatasetProblems, MissingFileError):
        return []
    return list(map(str, found.number_counts())) or [f"#{one}" for one in found.colour_counts()]
