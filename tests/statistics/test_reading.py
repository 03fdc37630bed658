# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.statistics.columns import ReportError
from monai_vlsm.statistics.reading import read_run, read_runs
from tests.statistics.runs import calibration, full_run, make_run, probes, score, scores, write_record


def test_everything(tmp_path: Path) -> None:
    run = read_run(full_run(tmp_path / "mine"))
    assert run.name == "mine"
    assert len(run.scores["name"]) == 61
    assert run.probes is not None and len(run.probes["name"]) == 60
    assert run.calibration is not None and len(run.calibration["class"]["bins"]) == 9  # the empty bin is left out
    assert run.facts["settings"]["network"] == "CLIPSegNet"
    assert sorted(run.images)[:2] == ["img0", "img0_p6"]


def test_only_scores(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "mine"))
    assert (run.probes, run.calibration, dict(run.facts), dict(run.images)) == (None, None, {}, {})


def test_units_are_patients_where_known(tmp_path: Path) -> None:
    rows = [score("a", patient="7"), score("b", patient=" "), score("a", patient="7", style="p2")]
    run = read_run(make_run(tmp_path, rows, [*probes(1), {**probes(1)[0], "name": "a"}]))
    assert list(run.scores["unit"]) == ["patient set/7", "image set/b", "patient set/7"]
    assert run.probes is not None
    assert list(run.probes["unit"]) == ["image set/img0", "patient set/7"]


def test_structures_of_an_image_are_drawn_together(tmp_path: Path) -> None:
    rows = [score(n, image_id=n[0], patient=p) for n, p in (("a_left", ""), ("a_right", ""), ("b", "7"))]
    run = read_run(make_run(tmp_path, rows))
    assert list(run.scores["unit"]) == ["image set/a", "image set/a", "patient set/7"]


def test_names(tmp_path: Path) -> None:
    folders = [tmp_path / place for place in ("dense/evaluation", "other/dense", "dense/eval", "b")]
    for folder in folders:
        make_run(folder)
    assert [run.name for run in read_runs(folders)] == ["dense", "dense (2)", "dense (3)", "b"]


def test_a_name_with_a_suffix_can_be_taken(tmp_path: Path) -> None:
    folders = [make_run(tmp_path / "1" / "x (2)"), make_run(tmp_path / "1" / "x"), make_run(tmp_path / "2" / "x")]
    assert [run.name for run in read_runs(folders)] == ["x (2)", "x", "x (3)"]


def no_folder(folder: Path) -> Path:
    return folder / "nowhere"


def a_file(folder: Path) -> Path:
    return make_run(folder / "run") / "metrics.csv"


def empty(folder: Path) -> Path:
    return folder


def training(folder: Path) -> Path:
    (folder / "last.pt").touch()
    return folder


def models(folder: Path) -> Path:
    (folder / "model.pt").touch()
    return folder


def bundle(folder: Path) -> Path:
    (folder / "configs").mkdir()
    return folder


def evaluated_bundle(folder: Path) -> Path:
    make_run(folder / "evaluation")
    make_run(folder / "eval")
    (folder / "evaluation" / "calibration.json").write_text("{}")  # a training has none
    return bundle(folder)


def dataset(folder: Path) -> Path:
    for name in ("images", "masks"):
        (folder / name).mkdir()
    return folder


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (no_folder, "nowhere does not exist; give the folder that an evaluation wrote: python -m monai.bundle run"),
        (a_file, "metrics.csv is a file; give the folder that holds it"),
        (empty, "has no metrics.csv, so no evaluation wrote it. Run an evaluation first: .* --output_dir "),
        (training, "has no metrics.csv.* looks like a training; evaluate its model first: .*evaluate.json"),
        (models, "looks like a training; evaluate its model first"),
        (bundle, "looks like a bundle that has not been evaluated: .*configs/evaluate.json"),
        (evaluated_bundle, "Perhaps you mean .*evaluation$"),
        (dataset, "looks like a dataset; evaluate a model on it first: .*--dataset_dir /"),
    ],
)
def test_no_run(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=message):
        read_run(make(tmp_path))


def test_the_command_names_the_bundle_that_was_given(tmp_path: Path) -> None:
    with pytest.raises(ReportError) as fault:
        read_run(bundle(tmp_path))
    assert f"'{tmp_path}/configs/train.json','{tmp_path}/configs/evaluate.json'" in str(fault.value)


def test_scores_of_an_older_version(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if key not in ("style", "tag")} for row in scores(3)]
    with pytest.raises(ReportError, match=r"metrics.csv lacks the columns style, tag; it has name, .* again"):
        read_run(make_run(tmp_path, rows))


def test_probes_with_missing_columns(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"probes.csv lacks the columns dataset, probe"):
        read_run(make_run(tmp_path, probed=[{"name": "a"}]))


@pytest.mark.parametrize("file", ["metrics.csv", "probes.csv"])
def test_unknown_tag(file: str, tmp_path: Path) -> None:
    rows, probed = scores(2), probes(2)
    (rows if file == "metrics.csv" else probed)[1]["tag"] = "leaky"
    with pytest.raises(
        ReportError, match=f"{file} has the unknown tag 'leaky'; tags are class, metadata, mask-derived"
    ):
        read_run(make_run(tmp_path, rows, probed))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read .*calibration.json: .*; run the evaluation again"),
        ("[]", "calibration.json: expected a table of names and values, got list"),
        ("{}", "calibration.json: expected by_tag, with ece and bins for each tag"),
        (json.dumps({"by_tag": {"class": {"ece": 0.1}}}), "expected by_tag"),
        (json.dumps({"by_tag": {"class": {"ece": "x", "bins": []}}}), "expected by_tag"),
        (json.dumps({"by_tag": {"class": {"ece": -0.1, "bins": []}}}), "from 0 to 1, got -0.1"),
        (json.dumps({"by_tag": {"class": {"ece": 0.1, "bins": [{"low": 0, "pixels": 4}]}}}), "expected by_tag"),
    ],
)
def test_broken_calibration(content: str, message: str, tmp_path: Path) -> None:
    make_run(tmp_path)
    (tmp_path / "calibration.json").write_text(content)
    write_record(tmp_path, {})
    with pytest.raises(ReportError, match=message):
        read_run(tmp_path)


def test_calibration_comes_in_the_order_of_tags(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path, calibrated=calibration(("mask-derived", "class"))))
    assert run.calibration is not None
    assert list(run.calibration) == ["class", "mask-derived"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("val_dice", 7, "expected val_dice from 0 to 1, got 7"),
        ("val_dice", -0.1, "expected val_dice from 0 to 1, got -0.1"),
        ("val_dice", "inf", "expected val_dice from 0 to 1, got inf"),
        ("val_iou", 1.01, "expected val_iou from 0 to 1"),
        ("val_hd95", -1, "expected val_hd95 of at least 0, got -1"),
        ("existence", 2, "expected existence from 0 to 1"),
        ("truth_pixels", -3, "expected truth_pixels of at least 0"),
        ("pred_empty", 5, "expected pred_empty from 0 to 1"),
    ],
)
def test_scores_that_cannot_be(column: str, value: object, message: str, tmp_path: Path) -> None:
    rows = [score("a", existence=0.5), {**score("b", existence=0.5), column: value}]
    with pytest.raises(ReportError, match=rf"metrics\.csv, row 3: {message}"):
        read_run(make_run(tmp_path, rows))


def test_scores_at_the_ends_of_their_ranges(tmp_path: Path) -> None:
    rows = [{**score("a"), "val_dice": 1.0, "val_hd95": "inf"}, {**score("b"), "val_dice": 0, "val_hd95": "nan"}]
    assert len(read_run(make_run(tmp_path, rows)).scores["name"]) == 2


@pytest.mark.parametrize("column", ["dice_own", "dice_asked"])
def test_probes_that_cannot_be(column: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=rf"probes\.csv, row 2: expected {column} from 0 to 1, got 1\.5"):
        read_run(make_run(tmp_path, None, [{**probes(1)[0], column: 1.5}]))
