# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Small label maps on disk, and records of their slices as lists give them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from monai_vlsm.data.volumes import Address, open_stack

SIZE = 16
AFFINE = np.diag([-0.8, 0.8, 5.0, 1.0])  # from the patient's left, as a CT is often stored


def box(*ends: int) -> np.ndarray:
    """A filled box from x, y, z to x, y, z, the latter not included: bool ``(16, 16, 16)``."""
    mask = np.zeros((SIZE, SIZE, SIZE), dtype=bool)
    mask[tuple(slice(*pair) for pair in zip(ends[:3], ends[3:], strict=True))] = True
    return mask


def save(path: Path, volume: np.ndarray, affine: np.ndarray = AFFINE, unit: str = "mm") -> str:
    """Write a NIfTI file; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(volume, affine)
    image.header.set_xyzt_units(unit)
    nib.save(image, path)
    return str(path)


def slice_records(
    file: str,
    classes: Mapping[str, Sequence[int]],
    plane: str = "axial",
    multi_prompt: bool = False,
    case: str = "liver_1",
    **shared: Any,
) -> list[dict[str, Any]]:
    """Records of all slices of a label map.

    Args:
        file: of the label map, which stands for the image too.
        classes: name to numbers; none for a mask of its own.
        plane: of the slices.
        multi_prompt: a record for each slice, not for each slice and class.
        case: name of the volume.
        shared: further entries.
    """
    records = []
    for index in range(len(open_stack(file, plane).slices)):
        image = {"image": str(Address(file, plane, index)), "case": case, "dataset": "toy", "patient": "", **shared}
        parts = [
            {
                "label": str(Address(file, plane, index, labels=tuple(labels))),
                "structure": name,
                "prompt": f"the {name}",
            }
            for name, labels in classes.items()
        ]
        name = f"{case}_{plane}_{index:02d}"
        if multi_prompt:
            records.append(image | {"name": name} | {key: [part[key] for part in parts] for key in parts[0]})
        else:
            records += [image | {"name": f"{name}_{part['structure']}"} | part for part in parts]
    return records
