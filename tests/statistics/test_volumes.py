# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from monai_vlsm.evaluations import MixedFilesError
from monai_vlsm.statistics.bootstrap import RESAMPLES, SEED, estimates, estimates_over_groups
from monai_vlsm.statistics.columns import ALL, ReportError
from monai_vlsm.statistics.comparison import VolumeComparison, compare
from monai_vlsm.statistics.reading import Run, read_run
from monai_vlsm.statistics.results import measure
from monai_vlsm.statistics.volumes import VolumeRow, volume_rows
from tests.statistics.runs import Rows, make_run, volume, volumes, write_csv


def read(folder: Path, whole: Rows) -> Run:
    return read_run(make_run(folder, whole=whole))


def rows_of(folder: Path, whole: Rows) -> list[VolumeRow]:
    columns = read(folder, whole).volumes
    assert columns is not None
    return volume_rows(columns)


def test_each_structure_and_all_of_them(tmp_path: Path) -> None:
    whole = [volume("a", 0.5), volume("b", 0.7), volume("a", 0.1, structure="", prompt="the spleen", truth_voxels=0)]
    liver, spleen, both = rows_of(tmp_path, whole)
    assert [row.structure for row in (liver, spleen, both)] == ["liver", "the spleen", ALL]
    assert (liver.volumes, liver.units, liver.unit, liver.tolerance) == (2, 2, "volumes", 3.0)
    assert [row.dice.mean for row in (liver, spleen, both)] == pytest.approx([0.6, 0.1, 0.35])
    assert both.hd95.mean == pytest.approx((8 + 18) / 2)
    assert (spleen.truth_empty, spleen.pred_empty, spleen.dice.low) == (1, 0, None)


def test_a_lone_structure_is_its_own_mean(tmp_path: Path) -> None:
    (row,) = rows_of(tmp_path, [volume("a"), volume("b")])
    assert row.structure == "liver"


def test_patients_are_drawn_where_they_are_known(tmp_path: Path) -> None:
    whole = [row | {"patient": int(row["case"][3:]) // 5} for row in volumes(20)]
    for row in rows_of(tmp_path, whole):
        assert (row.volumes, row.units, row.unit) == (20, 4, "patients")
    mixed = rows_of(tmp_path / "mixed", [volume("a", patient="anna"), volume("b")])
    assert mixed[0].unit == "volumes and patients"


def test_tags_planes_and_styles_are_apart(tmp_path: Path) -> None:
    whole = [*volumes(3), *volumes(3, plane="coronal"), *volumes(3, style="p6", tag="mask-derived")]
    (results,) = measure([read(tmp_path, whole)]).runs
    assert list(results.volumes) == ["class", "mask-derived"]
    assert [(row.plane, row.structure) for row in results.volumes["class"]] == [
        (plane, name) for plane in ("axial", "coronal") for name in ("liver", "spleen", ALL)
    ]


def test_mean_over_structures_with_its_interval() -> None:
    generator = np.random.default_rng(1)
    values, groups = generator.random(40), np.array(["a"] * 30 + ["b"] * 10)
    units = np.array([f"{index % 10}" for index in range(40)])
    (found,) = estimates_over_groups(values[:, None], units, groups)
    assert found.mean == pytest.approx((values[:30].mean() + values[30:].mean()) / 2)
    drawn = np.random.default_rng(SEED).integers(0, 10, (RESAMPLES, 10))  # as is drawn there, all at once
    table = np.stack([[values[(groups == g) & (units == str(u))].sum() for u in range(10)] for g in "ab"])
    counts = np.stack([[((groups == g) & (units == str(u))).sum() for u in range(10)] for g in "ab"])
    samples = np.mean([table[i][drawn].sum(axis=1) / counts[i][drawn].sum(axis=1) for i in range(2)], axis=0)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(samples, [2.5, 97.5])))
    (plain,) = estimates(values[:30, None], units[:30])
    (alone,) = estimates_over_groups(values[:30, None], units[:30], groups[:30])
    assert (alone.mean, alone.low, alone.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_values_that_are_no_numbers_are_left_out() -> None:
    values, units, groups = np.array([[1.0], [math.nan], [0.0]]), np.array(list("abc")), np.array(list("xxy"))
    (found,) = estimates_over_groups(values, units, groups)
    assert (found.mean, found.left_out) == (0.5, 1)
    (none,) = estimates_over_groups(values * np.nan, units, groups)
    assert (none.mean, none.left_out) == (None, 3)


def compared(folder: Path, first: Rows, other: Rows) -> VolumeComparison:
    found = compare(read(folder / "first", first), read(folder / "other", other)).volumes
    assert found is not None
    return found


def test_two_runs_are_paired_by_volume(tmp_path: Path) -> None:
    first = volumes(25)
    other = [row | {"dice": row["dice"] + 0.05, "hd95_mm": row["hd95_mm"] + 1} for row in first[::-1]]
    other[-3] |= {"truth_voxels": 7}  # the liver of the second volume
    found = compared(tmp_path, first, [*other, volume("new")])
    assert (found.pairs, found.only_first, found.only_other, found.other_truth) == (49, 0, 1, 1)
    liver, spleen, both = found.by_tag["class"]
    assert (liver.structure, liver.pairs, spleen.pairs, both.pairs, both.units) == ("liver", 24, 25, 49, 25)
    for row in (liver, spleen, both):
        assert (row.dice.change.low, row.dice.change.mean, row.dice.change.high) == pytest.approx((0.05,) * 3)
        assert (row.dice.better, row.hd95.better, row.hd95.worse) == (row.units, 0, row.units)
        assert row.surface_dice.p is None
    livers, spleens = ([row["dice"] for row in first[start::2]] for start in (0, 1))
    assert both.dice.first == pytest.approx((np.mean([livers[0], *livers[2:]]) + np.mean(spleens)) / 2)


def test_another_tolerance_cannot_be_compared(tmp_path: Path) -> None:
    found = compared(tmp_path, volumes(5), volumes(5, tolerance_mm=1.0))
    (row, *_) = found.by_tag["class"]
    assert (row.surface_dice.first, row.surface_dice.change.left_out, row.dice.equal) == (None, 5, 5)


def test_a_run_without_volumes(tmp_path: Path) -> None:
    runs = [read(tmp_path / "first", volumes(3)), read_run(make_run(tmp_path / "other"))]
    assert compare(*runs).volumes is None
    assert measure(runs).runs[1].volumes == {}


def test_scores_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"cases.csv, row 3: expected surface_dice from 0 to 1, got 7"):
        read(tmp_path, [volume("a"), volume("b", surface_dice=7)])
    with pytest.raises(ReportError, match=r"cases.csv has the unknown tag 'leak'"):
        read(tmp_path / "tag", [volume("a", tag="leak")])


def test_a_table_of_another_evaluation(tmp_path: Path) -> None:
    read(tmp_path, volumes(3))
    write_csv(tmp_path / "cases.csv", volumes(4))
    with pytest.raises(MixedFilesError, match=r"cases.csv was changed since the evaluation"):
        read_run(tmp_path)
