# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from monai_vlsm.statistics.reading import read_run
from monai_vlsm.statistics.selective import BETTER, TOO_FEW, UNDECIDED, WORSE, area, risk_curve, selective_by_tag
from tests.statistics.runs import make_run, score


@pytest.mark.parametrize(
    ("uncertainty", "curve"),
    [
        ([0.1, 0.2, 0.3], [0.0, 0.15, 0.3]),
        ([0.3, 0.2, 0.1], [0.6, 0.45, 0.3]),
        ([0.5, 0.5, 0.5], [0.3, 0.3, 0.3]),
        ([0.2, 0.1, 0.1], [0.45, 0.45, 0.3]),
    ],
)
def test_curve(uncertainty: list[float], curve: list[float]) -> None:
    assert risk_curve(np.array(uncertainty), np.array([0.0, 0.3, 0.6])) == pytest.approx(curve)


def test_equal_uncertainties_count_as_all_their_orders_on_average() -> None:
    uncertainty, risk = np.array([0.1, 0.1, 0.1, 0.4, 0.4]), np.array([0.3, 0.0, 0.9, 0.5, 0.1])
    orders = [
        (*first, *last) for first in itertools.permutations(range(3)) for last in itertools.permutations(range(3, 5))
    ]
    areas = [(np.cumsum(risk[list(order)]) / np.arange(1, 6)).mean() for order in orders]
    assert area(uncertainty, risk) == pytest.approx(np.mean(areas))


def rows_of(dice: list[float], uncertainty: list[float]) -> list[dict[str, object]]:
    pairs = zip(dice, uncertainty, strict=True)
    return [score(f"img{index}", one, uncertainty=doubt) for index, (one, doubt) in enumerate(pairs)]


DICE = [0.9, 0.5, 0.8, 0.7, 0.1, 0.6, 0.95, 0.3, 0.85, 0.2, 0.4, 0.75]


@pytest.mark.parametrize(
    ("dice", "uncertainty", "gain", "verdict"),
    [
        (DICE, [1 - one for one in DICE], 1, BETTER),
        (DICE, DICE, None, WORSE),
        (DICE, [0.5] * 12, 0, UNDECIDED),
        (DICE[:3], [0.1, 0.5, 0.2], 1, TOO_FEW),
        ([0.8] * 12, [1 - one for one in DICE], "none", TOO_FEW),
    ],
)
def test_gain(tmp_path: Path, dice: list[float], uncertainty: list[float], gain: float | str, verdict: str) -> None:
    (row,) = selective_by_tag(read_run(make_run(tmp_path, rows_of(dice, uncertainty))).scores)["class"]
    assert row.verdict == verdict
    assert row.random == pytest.approx(1 - np.mean(dice))
    if gain == "none":
        assert row.gain.mean is None
    elif gain is not None:
        assert row.gain.mean == pytest.approx(gain, abs=1e-6)
    assert row.ideal <= row.area + 1e-9


def test_hand_computed_row(tmp_path: Path) -> None:
    (row,) = selective_by_tag(read_run(make_run(tmp_path, rows_of([1.0, 0.7, 0.4], [0.3, 0.1, 0.2]))).scores)["class"]
    # risks in the order of the uncertainty: 0.3, 0.6, 0.0; means 0.3, 0.45, 0.3
    assert (row.area, row.random, row.ideal) == pytest.approx((0.35, 0.3, 0.15))
    assert row.gain.mean == pytest.approx(-1 / 3)
    assert row.half == pytest.approx(1 - 0.45)  # of three masks the first two


def test_tags_apart_and_nothing_without_the_column(tmp_path: Path) -> None:
    rows = [score("a", 0.8, uncertainty=0.1), score("b", 0.7, uncertainty=0.2, tag="mask-derived")]
    found = selective_by_tag(read_run(make_run(tmp_path / "with", rows)).scores)
    assert [row.masks for rows in found.values() for row in rows] == [1, 1]
    assert selective_by_tag(read_run(make_run(tmp_path / "without", [score("a")])).scores) == {}


def test_a_number_that_only_tells_structures_apart_gains_over_all_and_not_within_one(tmp_path: Path) -> None:
    easy = [score(f"img{i}", 0.95 - i / 100, prompt="brain", uncertainty=0.1) for i in range(12)]
    hard = [score(f"img{i}", 0.60 - i / 100, prompt="vessel", uncertainty=0.5) for i in range(12)]
    found = selective_by_tag(read_run(make_run(tmp_path, easy + hard)).scores)["class"]
    assert [(row.prompt, row.masks, row.verdict) for row in found] == [
        ("", 24, BETTER),
        ("brain", 12, UNDECIDED),
        ("vessel", 12, UNDECIDED),
    ]
    assert [row.gain.mean for row in found[1:]] == [pytest.approx(0, abs=1e-9)] * 2
