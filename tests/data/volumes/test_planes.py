# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest

from monai_vlsm.data.volumes import PLANES, from_stack, stack_affine, stack_shape, to_stack

SHAPE = (4, 5, 6)
CODES = ["RAS", "LPS", "LAS", "PIR", "SLA", "AIL"]


def affine_of(codes: str, oblique: float = 0.0) -> np.ndarray:
    """Voxels of 1 x 2 x 3 mm whose axes point to ``codes``, turned by an angle in radians about two axes."""
    turn = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), SHAPE)
    sin, cos = np.sin(oblique), np.cos(oblique)
    about_z = np.array([[cos, -sin, 0, 0], [sin, cos, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    about_x = np.array([[1, 0, 0, 0], [0, cos, -sin, 0], [0, sin, cos, 0], [0, 0, 0, 1]])
    turned: np.ndarray = about_x @ about_z @ np.linalg.inv(turn) @ np.diag([1.0, 2.0, 3.0, 1.0])
    return turned


@pytest.mark.parametrize(("codes", "plane", "oblique"), list(itertools.product(CODES, PLANES, (0.0, 0.2))))
def test_there_and_back(codes: str, plane: str, oblique: float) -> None:
    volume, affine = np.arange(120).reshape(SHAPE), affine_of(codes, oblique)
    stack = to_stack(volume, affine, plane)
    assert stack.shape == stack_shape(SHAPE, affine, plane)
    assert np.array_equal(from_stack(stack, affine, plane), volume)
    turned = stack_affine(SHAPE, affine, plane)
    assert "".join(nib.orientations.aff2axcodes(turned)) == PLANES[plane]
    for place in [(0, 0, 0), (3, 4, 5), (1, 2, 3)]:  # a voxel lies where it lay
        (at,) = np.argwhere(stack == volume[place])
        assert np.allclose(turned @ [*at, 1], affine @ [*place, 1])


def test_right_is_at_the_left_of_the_screen() -> None:
    """A mark at the patient's right, in front and on top, in a volume whose first axis goes to the left."""
    volume, affine = np.zeros(SHAPE), affine_of("LPS")
    volume[0, 0, -1] = 1  # right, front, top
    assert [tuple(np.argwhere(to_stack(volume, affine, plane))[0]) for plane in PLANES] == [
        (5, 0, 0),
        (4, 0, 0),
        (0, 0, 0),
    ]


def test_unknown_plane() -> None:
    with pytest.raises(ValueError, match=r"'oblique'.*axial"):
        to_stack(np.zeros(SHAPE), np.eye(4), "oblique")
