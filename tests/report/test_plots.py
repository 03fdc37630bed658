# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest

from monai_vlsm.report.plots import DOTS, ForestRow, forest, reliability
from monai_vlsm.statistics.bootstrap import Estimate
from tests.statistics.runs import calibration

BINS = calibration()["by_tag"]["class"]["bins"][:9]
ROWS = [
    ForestRow("one", Estimate(0.5, 0.4, 0.6), np.linspace(0, 1, 9)),
    ForestRow("two", Estimate(0.7, None, None), np.array([0.7, np.nan])),
    ForestRow("none", Estimate(None, None, None)),
]


def texts(svg: bytes) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_labels_are_text_and_escaped() -> None:
    label = "<script>alert(1)</script> & $\\frac{$ 数"
    svg = forest([ForestRow(label, Estimate(0.5, 0.4, 0.6))], "Dice", (0, 1))
    assert label in texts(svg)
    assert b"<script" not in svg


def test_rows_are_from_top_to_bottom() -> None:
    found = texts(forest(ROWS, "Dice", (0, 1)))
    assert [text for text in found if text in ("one", "two", "none")] == ["one", "two", "none"]
    assert "Dice" in found


def test_many_values_make_no_large_file() -> None:
    sizes = [len(forest([ForestRow("a", Estimate(0, 0, 0), np.random.rand(n))], "Dice")) for n in (DOTS, 100 * DOTS)]
    assert sizes[1] < 1.1 * sizes[0]


def test_the_same_bytes_whatever_the_style_of_the_user() -> None:
    svg, plot = forest(ROWS, "Dice"), reliability(BINS)
    with mpl.rc_context({"font.size": 30, "svg.hashsalt": None, "axes.facecolor": "red", "savefig.dpi": 10}):
        assert forest(ROWS, "Dice") == svg
        assert reliability(BINS) == plot
    assert b"<dc:date>" not in svg


@pytest.mark.parametrize("bins", [BINS, BINS[:1], []], ids=["nine", "one", "none"])
def test_reliability(bins: list[dict[str, float]]) -> None:
    assert "probability that the model gives" in texts(reliability(bins))
