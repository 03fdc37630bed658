# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders of small volumes as the Decathlon, Auto3DSeg and nnU-Net have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.files import save_nifti

SIZE = 16
LABELS = {"0": "background", "1": "liver", "2": "kidney_left"}


def label_map(seed: int = 0) -> np.ndarray:
    """``(16, 16, 16)``: 1 in slices 2 to 9, 2 in slices 6 to 12; in slice 2 and 12 of a few pixels."""
    array = np.zeros((SIZE, SIZE, SIZE), np.uint8)
    array[2 + seed % 3 : 12, 2:8, 3:10] = 1
    array[5:8, 9:13, 6:12] = 2
    array[4, 4, 2] = 1
    array[5, 9:12, 12] = 2
    return array


def volume(seed: int = 0) -> np.ndarray:
    """Int16 noise, ``(16, 16, 16)``."""
    return np.random.default_rng(seed).integers(-100, 200, (SIZE, SIZE, SIZE)).astype(np.int16)


def save_volumes(folder: Path, names: Sequence[str], ending: str = ".nii.gz") -> None:
    """``imagesTr`` and ``labelsTr``."""
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        save_nifti(volume(seed), folder / f"imagesTr/{name}{ending}")
        save_nifti(label_map(seed), folder / f"labelsTr/{name}{ending}")


def entry(name: str, **more: Any) -> dict[str, Any]:
    """A case as ``training`` has it."""
    return {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz", **more}


def decathlon(folder: Path, names: Sequence[str] = "abcde", file: str = "dataset.json", **changes: Any) -> Path:
    """A Decathlon folder; changes are of the keys of its list, None takes one out."""
    save_volumes(folder, names)
    table: Mapping[str, Any] = {
        "labels": LABELS,
        "modality": {"0": "CT"},
        "training": [entry(name) for name in names],
        "test": ["./imagesTs/z.nii.gz"],
        **changes,
    }
    (folder / file).write_text(json.dumps({key: value for key, value in table.items() if value is not None}))
    return folder


def names_of(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The cases of records, each once, in order."""
    return list(dict.fromkeys(record["case"] for record in records))
