# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Texts and legends of overlays, and the letters that say how the patient lies."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.font_manager import findfont
from PIL import Image, ImageFont

from monai_vlsm import drawing

HOSTILE = [
    "$",
    r"$\frac{",
    "_under",
    "two\nlines",
    "x" * 5000,
    "größe",
    "%s {0} @here",
    ".",
    "\x00\x1b[31m",
    "\ud800",
    "",
]


def dark(image: Image.Image) -> int:
    return int((np.asarray(image) < 128).all(axis=-1).sum())


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text(text: str) -> None:
    block = drawing.text_block(text, 200)
    assert block.width == 200
    assert block.height < 150
    assert bool(dark(block)) == (text not in ("\ud800", ""))


@pytest.mark.parametrize("text", ["one two three " * 20, "x" * 300, "W" * 50 + " small", "a"])
def test_lines_fit(text: str) -> None:
    font = ImageFont.truetype(findfont("DejaVu Sans"), 14)
    lines = drawing.text_lines(text, 150)
    assert all(font.getlength(line) <= 150 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_a_long_text_ends_in_dots() -> None:
    whole, cut = (drawing.text_block("one two three " * 20, 150, lines=lines) for lines in (99, 3))
    assert cut.height < whole.height / 3


def test_legend_names_all_and_then_how_many_more() -> None:
    few, many = (drawing.legend_block([("#E69F00", "a")] * count, 300) for count in (3, 5000))
    assert few.width == many.width == 300
    assert few.height < many.height < 1200


@pytest.mark.parametrize(
    ("meta", "affine"),
    [({"oriented": False}, np.eye(4)), ({}, np.eye(4)), ({"oriented": True}, np.zeros((4, 4)))],
)
def test_unknown_ends(meta: dict[str, bool], affine: np.ndarray) -> None:
    assert drawing.patient_ends(meta, affine) is None


@pytest.mark.parametrize(
    ("rows", "columns", "ends"),
    [
        ((0, -1, 0), (-1, 0, 0), ("R", "L", "A", "P")),  # axial, as on a screen
        ((0, 0, -1), (-1, 0, 0), ("R", "L", "S", "I")),  # coronal
        ((0, 0, -1), (0, -1, 0), ("A", "P", "S", "I")),  # sagittal
        ((0, -1, 0), (1, 0, 0), ("L", "R", "A", "P")),  # mirrored
        ((0.1, -0.9, 0.2), (-0.9, -0.1, 0), ("R", "L", "A", "P")),  # oblique
    ],
)
@pytest.mark.parametrize("space", ["RAS", "LPS"])
def test_ends(rows: tuple[float, ...], columns: tuple[float, ...], ends: tuple[str, ...], space: str) -> None:
    """Directions in RAS: right, front and head are positive."""
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = rows, columns, np.cross(rows, columns)
    if space == "LPS":
        affine = np.diag([-1, -1, 1, 1]) @ affine
    assert drawing.patient_ends({"oriented": True, "space": space}, affine) == ends


def test_marks_are_on_panels_with_room_for_them() -> None:
    ends = drawing.Ends("R", "L", "A", "P")
    for side, is_marked in ((100, True), (30, False)):
        panel = np.full((side, side, 3), 90, np.uint8)
        assert np.array_equal(np.asarray(drawing.marked(panel, ends)), panel) is not is_marked
        assert np.array_equal(np.asarray(drawing.marked(panel, None)), panel)
