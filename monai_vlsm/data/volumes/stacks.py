# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes as stacks of slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from monai.utils import MetaKeys

from monai_vlsm.data.volumes.formats import changed, read_any
from monai_vlsm.data.volumes.planes import stack_affine, to_stack

__all__ = ["SliceStack", "open_stack"]


@dataclass(frozen=True)
class SliceStack:
    """All slices of a volume in one plane.

    Args:
        slices: ``(N, rows, columns)``, in the type of the file.
        affine: ``(4, 4)``, from (slice, row, column) to mm to the patient's right, front and top.
        file_affine: the same for the axes of the file.
        file_shape: size of the volume with the axes of the file.
        oriented: whether the file says how the patient lies.
    """

    slices: np.ndarray
    affine: np.ndarray
    file_affine: np.ndarray
    file_shape: tuple[int, int, int]
    oriented: bool

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of slices, rows and columns in mm."""
        between, rows, columns = (float(one) for one in np.linalg.norm(self.affine[:3, :3], axis=0))
        return between, rows, columns


def open_stack(file: str | Path, plane: str, channel: int | None = None) -> SliceStack:
    """The slices of a volume.

    Args:
        file: a volume, see `monai_vlsm.data.volumes.read_any`.
        plane: axial, coronal or sagittal.
        channel: which volume of a 4D file.

    Raises:
        ValueError: no volume of three axes.
    """
    path = Path(file)
    return _opened(str(path), changed(path), plane, channel)


@lru_cache(maxsize=2)
def _opened(file: str, changed: int, plane: str, channel: int | None) -> SliceStack:
    array, meta = read_any(file)
    affine = meta[MetaKeys.ORIGINAL_AFFINE]
    if array.ndim != 3:
        raise ValueError(f"an array of shape {array.shape}, expected a volume of three axes")
    shape = (array.shape[0], array.shape[1], array.shape[2])
    turned = to_stack(array, affine, plane)
    return SliceStack(turned, stack_affine(shape, affine, plane), affine, shape, bool(meta["oriented"]))
