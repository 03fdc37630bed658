# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The three planes of a volume, each slice as a radiologist's screen shows it, and the way back.

The patient's right is at the left of the screen and the front at the top; where top and bottom of the patient are in
the slice, the head is at the top. An oblique volume is turned to the nearest of its own axes and not resampled.
"""

from __future__ import annotations

import nibabel as nib
import numpy as np

__all__ = [
    "PLANES",
    "chosen_plane",
    "from_stack",
    "plane_of_slice",
    "screen_codes",
    "stack_affine",
    "stack_shape",
    "to_stack",
]

PLANES = {"axial": "SPL", "coronal": "AIL", "sagittal": "LIP"}
"""Where slices, rows and columns of each plane go to: axial slices from the feet to the head, and so on."""


def chosen_plane(plane: str | None) -> str:
    """The one plane that volumes are segmented in: axial where a model was trained on none, or in all planes."""
    return "axial" if plane in (None, "all") else str(plane)


def screen_codes(plane: str | None) -> str:
    """Where rows, columns and slices of a plane go to, as ``"PLS"`` for axial ones; for ``None`` as `chosen_plane`.

    Raises:
        ValueError: an unknown plane.
    """
    codes = PLANES[_known(chosen_plane(plane))]
    return codes[1:] + codes[0]


def _known(plane: str) -> str:
    if plane not in PLANES:
        raise ValueError(f"unknown plane {plane!r}, known: {', '.join(PLANES)}")
    return plane


def plane_turn(affine: np.ndarray, plane: str) -> np.ndarray:
    """From the axes of a file to (slices, rows, columns), an orientation as nibabel has it, ``(3, 2)``.

    Args:
        affine: ``(4, 4)``, to axes that point to the patient's right, front and top.
        plane: axial, coronal or sagittal.

    Raises:
        ValueError: an unknown plane, or a singular affine.
    """
    codes = PLANES[_known(plane)]
    own = nib.orientations.io_orientation(affine)
    if np.isnan(own).any():
        raise ValueError(f"the affine must map three axes, got {affine.tolist()}")
    turn: np.ndarray = nib.orientations.ornt_transform(own, nib.orientations.axcodes2ornt(codes))
    return turn


def to_stack(volume: np.ndarray, affine: np.ndarray, plane: str) -> np.ndarray:
    """A volume ``(X, Y, Z)`` as ``(slices, rows, columns)``; more axes may follow. Errors as in `plane_turn`."""
    stack: np.ndarray = nib.orientations.apply_orientation(volume, plane_turn(affine, plane))
    return stack


def from_stack(stack: np.ndarray, affine: np.ndarray, plane: str) -> np.ndarray:
    """The inverse of `to_stack`, with the affine of the file."""
    turn = plane_turn(affine, plane)
    back = np.empty_like(turn)
    back[turn[:, 0].astype(int), 0] = np.arange(3)
    back[turn[:, 0].astype(int), 1] = turn[:, 1]
    volume: np.ndarray = nib.orientations.apply_orientation(stack, back)
    return volume


def stack_shape(shape: tuple[int, ...], affine: np.ndarray, plane: str) -> tuple[int, int, int]:
    """Slices, rows and columns of a volume with the axes of its file."""
    places = plane_turn(affine, plane)[:, 0].astype(int)
    sizes = dict(zip(places, shape, strict=False))
    return sizes[0], sizes[1], sizes[2]


def plane_of_slice(shape: tuple[int, ...], affine: np.ndarray) -> str | None:
    """The plane of a volume of a single slice; None where there are more."""
    return next((plane for plane in PLANES if stack_shape(shape, affine, plane)[0] == 1), None)


def stack_affine(shape: tuple[int, ...], affine: np.ndarray, plane: str) -> np.ndarray:
    """From (slice, row, column) to mm to the patient's right, front and top, ``(4, 4)``."""
    turned: np.ndarray = affine @ nib.orientations.inv_ornt_aff(plane_turn(affine, plane), shape[:3])
    return turned
