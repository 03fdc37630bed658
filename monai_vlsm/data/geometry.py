# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the pixels of an image and of its mask lie in the patient: the one rule by which they must agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from monai.utils import MetaKeys

from monai_vlsm.data.slices import display_turn

__all__ = ["TOLERANCE", "Geometry", "geometry", "misplaced"]

TOLERANCE = 0.5
"""Pixels by which a corner of the mask may lie off that of its image: beyond it, a pixel belongs to its neighbour."""


@dataclass(frozen=True)
class Geometry:
    """Where an image lies that was read from DICOM or NIfTI.

    Args:
        affine: ``(4, 4)``, from (row, column, slice) of the image as it is shown to mm to the patient's right, front
            and top.
        axes: where the axes of the file point, such as ``"RAS"``.
        known: whether the file says so; else the affine is that of a rule of its format.
        volume: whether it is NIfTI, which is turned by its affine when it is shown.
        second: whether qform and sform of the file disagree; the sform counts.
    """

    affine: np.ndarray
    axes: str
    known: bool
    volume: bool
    second: bool


def geometry(array: np.ndarray, meta: Mapping[str, Any]) -> Geometry | None:
    """The place of a file as `monai_vlsm.data.ImageFileReader` reads it, not flat; None for images, which have none.

    Args:
        array: native axes for NIfTI.
        meta: its metadata.
    """
    affine = meta.get(MetaKeys.ORIGINAL_AFFINE)
    if affine is None:
        return None
    volume = "xyzt_units" in meta
    shape = (*meta[MetaKeys.SPATIAL_SHAPE], 1)[:3]
    shown = affine @ nib.orientations.inv_ornt_aff(display_turn(affine, shape), shape) if volume else affine
    axes = "".join(nib.orientations.aff2axcodes(affine))
    return Geometry(shown, axes, bool(meta["oriented"]), volume, "qform" in meta)


def misplaced(image: Geometry, mask: Geometry, size: tuple[int, ...]) -> str | None:
    """Say how a mask lies elsewhere than its image by what the files tell; None if it does not, or they do not tell.

    The corners of both as they are shown must lie within half a pixel of each other, and within half a slice. NIfTI
    files of which one does not say how the patient lies are turned by a rule; they must be turned alike.

    Args:
        image: of the image.
        mask: of the mask.
        size: rows and columns, or more, of both.
    """
    if not (image.known and mask.known):
        unlike = image.volume and mask.volume and image.axes != mask.axes
        return (
            f"axes to {mask.axes} instead of {image.axes}, where one file does not say how it lies" if unlike else None
        )
    far = _distance(image.affine, mask.affine, size)
    if far <= TOLERANCE:
        return None
    axes = (
        f", axes to {mask.axes} instead of {image.axes}"
        if image.volume == mask.volume and image.axes != mask.axes
        else ""
    )
    second = " (sform and qform disagree in one of the files; the sform counts)" if image.second or mask.second else ""
    return f"an affine that puts it up to {far:.1f} pixels away{axes}{second}"


def _distance(image: np.ndarray, mask: np.ndarray, size: tuple[int, ...]) -> float:
    """The largest distance of two corners along a row, a column or across the slices, in pixels and slices."""
    ends = np.array([*size, 1, 1][:3]) - 1
    corners = np.array([(*(ends * corner), 1) for corner in np.ndindex(2, 2, 2)])
    apart = (corners @ (mask - image).T)[:, :3]
    steps = image[:3, :3].copy()
    thickest = max(np.linalg.norm(affine[:3, 2]) for affine in (image, mask))
    steps[:, 2] *= thickest / np.linalg.norm(steps[:, 2])  # the thickness of a DICOM slice is not known
    return float(np.abs(np.linalg.solve(steps, apart.T)).max())
