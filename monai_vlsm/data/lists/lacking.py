# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a folder, or a ``dataset.json``, lacks to be a list of cases, and what to write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.lists.counting import numbers_in
from monai_vlsm.data.lists.files import read_table

__all__ = ["what_is_lacking"]

DATASET_FILE = "dataset.json"
IMAGES, LABELS = "imagesTr", "labelsTr"
SHOWN = 4  # numbers in an example
NNUNET = ("channel_names", "file_ending", "modality")  # one of these says that the folders are the list
CASE = f'{{"image": "{IMAGES}/CASE.nii.gz", "label": "{LABELS}/CASE.nii.gz"}}'


def what_is_lacking(place: Path) -> str:
    """A sentence on what is there, what it lacks, and an example of that; empty where nothing is like a list of cases.

    Args:
        place: a folder without a list, or such a file itself.

    Raises:
        DatasetProblems: a file that begins like a table and cannot be read.
    """
    file = place / DATASET_FILE if place.is_dir() else place
    if file.is_file() and file.suffix.lower() == ".json":
        table = read_table(file)
        return _of_table(file, table) if table or file.name == DATASET_FILE else ""
    there = [name for name in (IMAGES, LABELS) if (place / name).is_dir()]
    if not there:
        return ""
    folders = (
        f"{place} holds {' and '.join(there)} but no {'' if LABELS in there else f'{LABELS}, and no '}list of cases"
    )
    return f"{folders}: write {file}, such as {_example(place, ['labels', 'training'])}"


def _of_table(file: Path, table: Mapping[str, Any]) -> str:
    home = file.parent
    told = isinstance(table.get("dataset"), Mapping) or (
        (home / LABELS).is_dir() and any(key in table for key in NNUNET)
    )
    lacking = [key for key, there in (("labels", "labels" in table), ("training", told)) if not there]
    keys = f"its keys are {', '.join(map(str, table))}" if table else "it has no keys at all"
    return f"{file} is there, but lacks {' and '.join(lacking)} ({keys}): write into it {_example(home, lacking)}"


def _example(home: Path, lacking: list[str]) -> str:
    """What to write; where the folders have the cases, nnU-Net's key that says so is enough."""
    files = sorted(one for one in (home / LABELS).glob("*") if one.is_file() and not one.name.startswith("."))
    names = ", ".join(f'"{label}": "NAME"' for label in (_numbers(files[0]) if files else []) or [1])
    ending = files[0].name.removeprefix(image_stem(files[0])) if files else ""
    cases = f'"file_ending": "{ending}"' if files else f'"training": [{CASE}]'
    known = {"labels": f'"labels": {{{names}}}', "training": cases}
    return "{" + ", ".join(known[key] for key in lacking) + "}"


def _numbers(file: Path) -> list[int]:
    """The first numbers in a label map, as far as it can be read."""
    try:
        return numbers_in(str(file))[:SHOWN]
    except (OSError, ValueError):
        return []
