# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from monai_vlsm.statistics.columns import ALL, Columns
from monai_vlsm.statistics.reading import read_run
from monai_vlsm.statistics.scores import by_tag, empty_rows, plain_rows, present_rows, prompt_rows, score_rows
from tests.statistics.runs import Rows, make_run, score

MIXED = [
    score("a", 0.2),
    score("b", 0.4),
    score("a", 0.9, style="p6", tag="mask-derived"),
    score("b", 0.7, style="p4", tag="metadata"),
    score("a", 0.5, dataset="other"),
    score("c", 0.0, truth_empty=1, truth_pixels=0),
    score("d", 0.0, pred_empty=1, pred_pixels=0),
    score("e", 1.0, truth_empty=1, pred_empty=1, truth_pixels=0, pred_pixels=0),
]


def read(folder: Path, rows: Rows) -> Columns:
    return read_run(make_run(folder, rows)).scores


def test_tags_never_share_a_number(tmp_path: Path) -> None:
    found = by_tag(read(tmp_path, MIXED), score_rows)
    assert list(found) == ["class", "metadata", "mask-derived"]
    assert [row.dice.mean for row in found["metadata"]] == [0.7]
    assert [row.dice.mean for row in found["mask-derived"]] == [0.9]
    means = {(row.dataset, row.style): row.dice.mean for row in found["class"]}
    assert means == pytest.approx({("other", "p1"): 0.5, ("set", "p1"): 0.32, (ALL, ALL): 2.1 / 6})


def test_counts_and_units(tmp_path: Path) -> None:
    rows = [
        score("a", 0.2, patient="1"),
        score("a", 0.4, structure=1, patient="1"),
        score("b", 0.6, patient="1"),
        score("c", 0.8, patient="2"),
        score("d", 0.8, dataset="other", patient=""),
    ]
    found = {row.dataset: row for row in score_rows(read(tmp_path, rows))}
    assert (found["set"].masks, found["set"].images, found["set"].units, found["set"].unit) == (4, 3, 2, "patients")
    assert (found["other"].units, found["other"].unit) == (1, "images")
    assert (found[ALL].units, found[ALL].unit) == (3, "patients and images")
    assert found["set"].dice.low == pytest.approx(0.4)
    assert found["other"].dice.low is None


def test_structures_of_one_image_are_one_image(tmp_path: Path) -> None:
    rows = [score("a_brain", image_id="a"), score("a_white", image_id="a"), score("b_brain", image_id="b")]
    (found,) = [row for row in score_rows(read(tmp_path, rows)) if row.dataset == "set"]
    assert (found.masks, found.images, found.units) == (3, 2, 2)


def test_distances_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    (row,) = score_rows(
        read(tmp_path, [score("a", val_hd95="inf"), score("b", val_hd95=4), score("c", val_hd95="nan")])
    )
    assert (row.hd95.mean, row.hd95.left_out, row.dice.left_out) == (4.0, 2, 0)


def test_empty_masks(tmp_path: Path) -> None:
    found = by_tag(read(tmp_path, MIXED), empty_rows)
    row = next(row for row in found["class"] if row.dataset == "set")
    counts = (row.masks, row.truth_empty, row.pred_empty, row.both_empty, row.missed, row.invented)
    assert counts == (5, 2, 2, 1, 1, 1)
    assert [(row.masks, row.truth_empty) for row in found["metadata"]] == [(1, 0)]


@pytest.mark.parametrize(("number", "shown"), [(1, 0), (2, 2), (12, 12), (13, 0)])
def test_prompts_are_listed_where_there_are_few(number: int, shown: int, tmp_path: Path) -> None:
    rows = [score(f"{i}", i / 26, prompt=f"thing {i % number}") for i in range(26)]
    found = prompt_rows(read(tmp_path, rows))
    assert [row.prompt for row in found] == [f"thing {i}" for i in range(shown)]
    if number == 2:
        assert found[1].dice.mean == pytest.approx(sum(range(1, 26, 2)) / 26 / 13)


def test_the_plain_row_is_of_the_bare_class(tmp_path: Path) -> None:
    rows = [
        score("a", 0.1, style="p0"),
        score("a", 0.2),
        score("a", 0.3, style="p7"),
        score("a", dataset="b", style="p7"),
    ]
    rows.append(score("a", 0.9, dataset="c", style="p6", tag="mask-derived"))
    found = plain_rows(by_tag(read(tmp_path, rows), score_rows))
    assert [(row.dataset, row.style) for row in found] == [("b", "p7"), ("set", "p1")]


def test_both_conventions_for_images_without_the_structure(tmp_path: Path) -> None:
    """Two normal images, one answered rightly: of five masks (1 + 0 + 0.6 + 0.9 + 0.3) / 5, without them 1.8 / 3."""
    normal = [score("n1", 1.0, val_iou=1.0, truth_empty=1), score("n2", 0.0, val_iou=0.0, truth_empty=1)]
    found = read(tmp_path, [*normal, *(score(f"t{index}", dice) for index, dice in enumerate((0.6, 0.9, 0.3)))])
    (counted,), (left_out,) = score_rows(found), present_rows(found)
    assert (counted.masks, left_out.masks, left_out.images) == (5, 3, 3)
    assert counted.dice.mean == pytest.approx(0.56)
    assert left_out.dice.mean == pytest.approx(0.6)
    assert left_out.iou.mean == pytest.approx((0.6 / 1.4 + 0.9 / 1.1 + 0.3 / 1.7) / 3, abs=1e-6)


def test_where_nothing_or_all_is_empty_there_is_one_convention(tmp_path: Path) -> None:
    assert present_rows(read(tmp_path / "none", [score("a")])) == []
    assert present_rows(read(tmp_path / "all", [score("a", truth_empty=1)])) == []
