# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_vlsm.statistics.bootstrap import FEWEST
from monai_vlsm.statistics.columns import ALL
from monai_vlsm.statistics.probes import DECIDES, HARDLY, PARTLY, TOO_FEW, UNKNOWN, absent_rows, other_rows
from monai_vlsm.statistics.reading import Run, read_run
from tests.statistics.runs import Rows, make_run, probe, probes, score

COUNT = 12


def noise(index: int) -> float:
    return 0.02 * float(np.sin(index))


def read(folder: Path, probed: Rows, dice: float = 0.8, **other: Any) -> Run:
    return read_run(make_run(folder, [score(f"img{i}", dice + noise(i), **other) for i in range(COUNT)], probed))


@pytest.mark.parametrize(
    ("before", "own", "asked", "verdict"),
    [
        (0.8, 0.1, 0.7, DECIDES),
        (0.8, 0.45, 0.6, DECIDES),
        (0.8, 0.5, 0.3, PARTLY),
        (0.8, 0.6, 0.6, PARTLY),
        (0.8, 0.78, 0.3, HARDLY),
        (0.8, 0.78, 0.9, HARDLY),  # such as a big structure that is segmented whatever is asked
        (0.05, 0.03, 0.9, UNKNOWN),
    ],
)
def test_another_structure(before: float, own: float, asked: float, verdict: str, tmp_path: Path) -> None:
    probed = [probe(f"img{i}", dice_own=own + noise(3 * i), dice_asked=asked + noise(5 * i)) for i in range(COUNT)]
    (row,) = other_rows(read(tmp_path, probed, before))["class"]
    assert row.verdict == verdict
    assert row.probes == COUNT
    assert row.own.mean == pytest.approx(before, abs=0.01)
    assert row.lost.mean == pytest.approx(before - own, abs=0.02)
    assert row.gained.mean == pytest.approx(asked - own, abs=0.02)


@pytest.mark.parametrize(("number", "verdict"), [(1, TOO_FEW), (FEWEST - 1, TOO_FEW), (FEWEST, DECIDES)])
def test_few_images_tell_nothing(number: int, verdict: str, tmp_path: Path) -> None:
    absent = [probe(f"img{i}", "absent", pred_pixels=0) for i in range(number)]
    assert other_rows(read(tmp_path, probes(number)))["class"][0].verdict == verdict
    assert absent_rows(read(tmp_path, absent))["class"][0].verdict == verdict


def test_many_probes_of_few_images_tell_nothing(tmp_path: Path) -> None:
    rows = other_rows(read(tmp_path, [probe(f"img{i}") for i in range(3) for _ in range(10)]))["class"]
    assert (rows[0].probes, rows[0].verdict) == (30, TOO_FEW)


@pytest.mark.parametrize(
    "change",
    [{"own_pixels": 0}, {"own_prompt": "no polyp"}, {"style": "p2"}, {"name": "unknown"}, {"dataset": "unknown"}],
    ids=lambda change: next(iter(change)),
)
def test_what_has_nothing_to_compare_with_is_left_out(change: dict[str, Any], tmp_path: Path) -> None:
    rows = other_rows(read(tmp_path, [*probes(COUNT - 1), {**probe("img11"), **change}]))["class"]
    counted = [row for row in rows if row.dataset != ALL and row.style != ALL]
    assert sum(row.probes for row in counted) == COUNT - 1
    assert sum(row.left_out for row in counted) == 1


def test_the_own_score_has_the_tag_of_the_question(tmp_path: Path) -> None:
    """BUSI: the image was scored with "No tumor ...", which gives the answer away, and is asked for a tumor."""
    found = other_rows(read(tmp_path, probes(COUNT), tag="mask-derived"))
    assert list(found) == ["class"]
    assert (found["class"][0].probes, found["class"][0].left_out, found["class"][0].own.mean) == (0, COUNT, None)
    assert found["class"][0].verdict == TOO_FEW


def test_tags_are_apart(tmp_path: Path) -> None:
    probed = [*probes(6), *(probe(f"img{i}", tag="mask-derived", dice_own=0.9) for i in range(6))]
    found = other_rows(read(tmp_path, probed))
    assert list(found) == ["class", "mask-derived"]
    assert found["mask-derived"][0].left_out == 6
    assert found["class"][0].other.mean == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("pixels", "verdict"),
    [
        ([0] * 12, DECIDES),
        ([50] + [0] * 11, DECIDES),
        ([50, 50] + [0] * 10, PARTLY),
        ([30] * 12, PARTLY),
        ([80] * 12, HARDLY),
        ([400] * 12, HARDLY),
    ],
)
def test_absent(pixels: list[int], verdict: str, tmp_path: Path) -> None:
    probed = [probe(f"img{i}", "absent", pred_pixels=n, dice_own=0.3) for i, n in enumerate(pixels)]
    (row,) = absent_rows(read(tmp_path, probed))["class"]
    assert row.verdict == verdict
    assert row.share.mean == pytest.approx(sum(pixels) / 12000)
    assert row.answered.mean == pytest.approx(sum(n > 0 for n in pixels) / 12)
    assert row.own_share.mean == pytest.approx(0.09)  # 90 of 1,000 pixels
    assert row.own_dice.mean == pytest.approx(0.3)


def test_absent_without_an_own_score(tmp_path: Path) -> None:
    probed = [probe(f"img{i}", "absent", pred_pixels=40, own_prompt="x", own_pixels=i % 2) for i in range(COUNT)]
    (row,) = absent_rows(read(tmp_path, probed))["class"]
    assert (row.verdict, row.own_share.mean, row.own_share.left_out) == (UNKNOWN, None, COUNT)
    assert row.own_dice.left_out == COUNT // 2


def test_no_probes(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path))
    assert (other_rows(run), absent_rows(run)) == ({}, {})
    assert absent_rows(read(tmp_path, probes(3))) == {}
