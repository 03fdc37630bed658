# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Slices of volumes as a radiologist's screen shows them."""

from __future__ import annotations

from collections.abc import Sequence

import nibabel as nib
import numpy as np

__all__ = ["PLANES", "display_codes", "display_turn", "displayed", "flat_slice"]

PLANES = {"S": "PL", "I": "PL", "A": "IL", "P": "IL", "L": "IP", "R": "IP"}
"""Rows and columns of a single slice on a radiologist's screen, by the direction that the slice looks in."""


def display_codes(codes: str, shape: Sequence[int], axcodes: str) -> str:
    """Axis codes to show a volume in: ``axcodes``, but a single slice keeps its plane.

    Args:
        codes: present axis codes.
        shape: the three spatial sizes; an axis of size 1 makes it a single slice.
        axcodes: axis codes for volumes.
    """
    single = [code for code, size in zip(codes, shape, strict=True) if size == 1]
    return PLANES[single[-1]] + single[-1] if single else axcodes


def flat_slice(array: np.ndarray, affine: np.ndarray) -> np.ndarray | None:
    """A volume of one slice as an image, in the orientation of a radiologist's screen.

    Args:
        array: ``(X, Y, Z)`` or ``(X, Y)``, channels may follow three axes.
        affine: ``(4, 4)``, to axes that point to the patient's right, front and top (as NIfTI has it).

    Returns:
        ``(rows, columns)`` or ``(rows, columns, channels)``; None for a volume of several slices.

    Raises:
        ValueError: the affine is singular.
    """
    volume = array[..., None] if array.ndim == 2 else array
    return displayed(volume, affine)[:, :, 0] if 1 in volume.shape[:3] else None


def displayed(volume: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """A volume turned so that its last axis counts images as on a radiologist's screen; axial, if there are several.

    Args:
        volume: ``(X, Y, Z)``, channels may follow.
        affine: ``(4, 4)``, as in `flat_slice`.

    Returns:
        ``(rows, columns, slices)``, channels follow.

    Raises:
        ValueError: the affine is singular.
    """
    turned: np.ndarray = nib.orientations.apply_orientation(volume, display_turn(affine, volume.shape))
    return turned


def display_turn(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """How `displayed` turns a volume: an orientation as nibabel has it, ``(3, 2)``.

    Args:
        affine: ``(4, 4)``, as in `flat_slice`.
        shape: the spatial sizes; more may follow.

    Raises:
        ValueError: the affine is singular.
    """
    codes = nib.orientations.aff2axcodes(affine)
    if None in codes:
        raise ValueError(f"the affine must map three axes, got {affine.tolist()}")
    shown = nib.orientations.axcodes2ornt(display_codes("".join(codes), shape[:3], "PLS"))
    turn: np.ndarray = nib.orientations.ornt_transform(nib.orientations.io_orientation(affine), shown)
    return turn
