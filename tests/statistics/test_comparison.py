# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from monai_vlsm.statistics.columns import ALL
from monai_vlsm.statistics.comparison import Comparison, compare
from monai_vlsm.statistics.reading import read_run
from tests.statistics.runs import Rows, make_run, score, scores


def runs(folder: Path, first: Rows, other: Rows) -> Comparison:
    return compare(read_run(make_run(folder / "first", first)), read_run(make_run(folder / "other", other)))


def better(rows: Rows, by: float) -> Rows:
    return [{**row, "val_dice": row["val_dice"] + by, "val_hd95": row["val_hd95"] - 10 * by} for row in rows]


def test_a_constant_gain(tmp_path: Path) -> None:
    rows = scores(25)
    found = runs(tmp_path, rows, better(rows[::-1], 0.1))
    assert (found.pairs, found.images, found.only_first, found.only_other, found.other_truth) == (25, 25, 0, 0, 0)
    (row,) = found.by_tag["class"]
    assert (row.dice.change.low, row.dice.change.mean, row.dice.change.high) == pytest.approx((0.1, 0.1, 0.1))
    assert (row.dice.better, row.dice.worse, row.dice.equal) == (25, 0, 0)
    assert row.hd95.change.mean == pytest.approx(-1)
    assert (row.hd95.better, row.hd95.worse) == (25, 0)
    assert row.dice.p is not None and row.dice.p < 0.001
    assert (row.iou.equal, row.iou.p) == (25, None)


def test_the_test_is_wilcoxons_over_images(tmp_path: Path) -> None:
    first, other = scores(40, 1), scores(40, 2)
    (row,) = runs(tmp_path, first, other).by_tag["class"]
    change = np.array([new["val_dice"] - old["val_dice"] for old, new in zip(first, other, strict=True)])
    assert row.dice.p == pytest.approx(stats.wilcoxon(change).pvalue)
    assert row.dice.change.mean == pytest.approx(change.mean())
    assert (row.dice.better, row.dice.worse) == ((change > 0).sum(), (change < 0).sum())
    assert row.dice.first == pytest.approx(np.mean([old["val_dice"] for old in first]))
    assert row.dice.other == pytest.approx(np.mean([new["val_dice"] for new in other]))


def test_the_interval_is_of_the_pairs_not_of_the_runs(tmp_path: Path) -> None:
    rows = scores(40, 1)
    (row,) = runs(
        tmp_path, rows, [{**r, "val_dice": r["val_dice"] + 0.01 + 1e-3 * (i % 2)} for i, r in enumerate(rows)]
    ).by_tag["class"]
    assert row.dice.change.low is not None and row.dice.change.low > 0


def test_patients_are_the_units(tmp_path: Path) -> None:
    rows = [{**row, "patient": index // 5} for index, row in enumerate(scores(20))]
    (row,) = runs(tmp_path, rows, better(rows, 0.1)).by_tag["class"]
    assert (row.pairs, row.units, row.unit, row.dice.better) == (20, 4, "patients", 4)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x"},
        {"dataset": "x"},
        {"structure": 1},
        {"style": "p2"},
        {"tag": "metadata"},
        {"prompt": "x"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_only_the_same_question_is_paired(change: dict[str, Any], tmp_path: Path) -> None:
    rows = scores(5)
    found = runs(tmp_path, rows, [{**rows[0], **change}, *rows[1:4]])
    assert (found.pairs, found.only_first, found.only_other) == (3, 2, 1)


def test_other_true_masks_are_left_out(tmp_path: Path) -> None:
    rows = scores(5)
    found = runs(tmp_path, rows, [{**rows[0], "truth_pixels": 99}, *rows[1:]])
    assert (found.pairs, found.other_truth, found.only_first) == (4, 1, 0)


def test_nothing_in_common(tmp_path: Path) -> None:
    found = runs(tmp_path, scores(3), scores(4, dataset="other"))
    assert (found.pairs, found.only_first, found.only_other, found.by_tag) == (0, 3, 4, {})


def test_records_with_the_same_name_are_paired_in_order(tmp_path: Path) -> None:
    first = [score("a", 0.2), score("a", 0.4), score("a", 0.6)]
    found = runs(tmp_path, first, [score("a", 0.3), score("a", 0.5)])
    assert (found.pairs, found.only_first) == (2, 1)
    assert found.by_tag["class"][0].dice.change.mean == pytest.approx(0.1)


def test_tags_datasets_and_styles_are_apart(tmp_path: Path) -> None:
    rows = scores(4) + scores(4, style="p7") + scores(4, dataset="b") + scores(4, style="p6", tag="mask-derived")
    found = runs(tmp_path, rows, better(rows, 0.1)).by_tag
    assert [(row.dataset, row.style) for row in found["class"]] == [
        ("b", "p1"),
        ("set", "p1"),
        ("set", "p7"),
        ("set", ALL),
        (ALL, ALL),
    ]
    assert [(row.dataset, row.style, row.pairs) for row in found["mask-derived"]] == [("set", "p6", 4)]


def test_distances_that_are_not_finite(tmp_path: Path) -> None:
    rows = scores(6)
    first = [{**row, "val_hd95": "inf" if i == 0 else row["val_hd95"]} for i, row in enumerate(rows)]
    other = [{**row, "val_hd95": "nan" if i == 1 else "inf" if i == 0 else 1} for i, row in enumerate(rows)]
    (row,) = runs(tmp_path, first, other).by_tag["class"]
    assert row.hd95.change.left_out == 2
    assert row.hd95.other == 1
    assert row.hd95.better + row.hd95.worse + row.hd95.equal == 4
