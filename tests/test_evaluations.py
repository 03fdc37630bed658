# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder of an evaluation holds the files of one, and readers take nothing else for one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import Workflow

from monai_vlsm.evaluations import EvaluationFiles, MixedFilesError, own_files
from monai_vlsm.handlers import CalibrationWriter, OverlayWriter, RunInfoWriter, ScoreWriter
from monai_vlsm.outputs import MANIFEST, NotOursError
from tests.folders import contents, visible
from tests.handlers import toy

TRAINING = {"metrics.csv", "metrics.json", "run.json"}
WHOLE = TRAINING | {"calibration.json", "probes.csv", "overlays"}


class _State:
    def __init__(self, digest: str) -> None:
        self.digest = lambda: digest

    def settings(self) -> dict[str, Any]:
        return {}


class _Targets:
    """Gives what `CalibrationWriter` compares with."""

    def attach(self, engine: Workflow) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        for output in engine.state.output:
            output["logits_target"] = output["label"]


def engine(folder: Path, model: str, more: list[Any], count: int = 3, files: EvaluationFiles | None = None) -> Workflow:
    """An evaluation of a model, with further handlers."""
    files = files or EvaluationFiles(folder)
    made = [handler(files) for handler in more]
    handlers = [ScoreWriter(files, ["val_dice"]), *made, RunInfoWriter(files, _State(model), {"split": model})]
    return toy.evaluator(torch.nn.Conv2d(3, 1, 1), toy.records(count), [_Targets(), *handlers])


def evaluate(folder: Path, model: str = "test", count: int = 3) -> None:
    """All that an evaluation writes; probes come last, from an engine of their own."""
    files = EvaluationFiles(folder)
    engine(folder, model, [CalibrationWriter, lambda at: OverlayWriter(at, "all")], count, files).run()
    files.write("probes.csv", f"name\n{model}\n")


def facts(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def test_one_evaluation(tmp_path: Path) -> None:
    evaluate(tmp_path)
    assert visible(tmp_path) == WHOLE
    overlays = {f"overlays/case{index}.png" for index in range(3)}
    assert set(own_files(tmp_path)) == WHOLE - {"overlays", "run.json"} | overlays


def test_training_into_the_folder_of_an_evaluation(tmp_path: Path) -> None:
    evaluate(tmp_path)
    engine(tmp_path, "val", []).run()
    assert visible(tmp_path) == TRAINING | {"overlays"}
    assert visible(tmp_path / "overlays") == set()
    assert facts(tmp_path)["split"] == "val"
    assert set(own_files(tmp_path)) == {"metrics.csv", "metrics.json"}


def test_another_evaluation_into_the_same_folder(tmp_path: Path) -> None:
    for model, count in (("one", 4), ("two", 2)):
        evaluate(tmp_path, model, count=count)
    assert visible(tmp_path / "overlays") == {"case0.png", "case1.png"}
    assert facts(tmp_path)["model"] == "two"
    assert own_files(tmp_path)["probes.csv"].read_text() == "name\ntwo\n"


def test_an_epoch_that_is_not_the_best_changes_nothing(tmp_path: Path) -> None:
    evaluator = engine(tmp_path, "val", [CalibrationWriter, lambda at: OverlayWriter(at, 2)])
    evaluator.run(1)
    before = contents(tmp_path)
    evaluator.run(2)  # no better
    assert contents(tmp_path) == before


@pytest.mark.parametrize("overlays", ["all", 2])
@pytest.mark.parametrize("event", [Events.ITERATION_COMPLETED(once=2), Events.EPOCH_COMPLETED])
def test_an_interrupted_evaluation_is_taken_for_none(tmp_path: Path, event: Any, overlays: int | str) -> None:
    """Neither the new files nor those of before are read as if they belonged together."""
    evaluate(tmp_path)

    class Interrupt:
        def attach(self, engine: Workflow) -> None:
            engine.add_event_handler(event, self.now)

        def now(self, _: Workflow) -> None:
            raise KeyboardInterrupt

    more: list[Any] = [lambda at: OverlayWriter(at, overlays), lambda _: Interrupt(), CalibrationWriter]
    with pytest.raises(KeyboardInterrupt):
        engine(tmp_path, "new", more).run()
    if event is Events.EPOCH_COMPLETED or overlays == "all":
        assert not (tmp_path / "run.json").exists()
        with pytest.raises(MixedFilesError, match=r"but no run\.json, .* it was interrupted, or .* Run the evaluation"):
            own_files(tmp_path)
    else:  # nothing was written yet: the evaluation of before is whole
        assert facts(tmp_path)["model"] == "test"
        assert "probes.csv" in own_files(tmp_path)


@pytest.mark.parametrize("name", ["metrics.csv", "probes.csv", "calibration.json", "run.json", "overlays/case1.png"])
def test_a_file_of_another_evaluation(tmp_path: Path, name: str) -> None:
    for model in ("one", "two"):
        evaluate(tmp_path / model, model)
    (tmp_path / "one" / name).write_bytes((tmp_path / "two" / name).read_bytes() + b" ")
    with pytest.raises(MixedFilesError, match=r"run\.json tells of: put the file back, or run the evaluation again"):
        own_files(tmp_path / "one")


def test_a_file_too_many(tmp_path: Path) -> None:
    evaluate(tmp_path / "one")
    engine(tmp_path / "val", "val", []).run()
    shutil.copy(tmp_path / "one" / "probes.csv", tmp_path / "val")
    with pytest.raises(MixedFilesError, match=r"probes\.csv is of another evaluation that run\.json tells of"):
        own_files(tmp_path / "val")


def test_an_image_of_somebody_else_is_not_taken_for_an_overlay(tmp_path: Path) -> None:
    evaluate(tmp_path)
    (tmp_path / "overlays" / "mine.png").write_bytes(b"photo")
    assert "overlays/mine.png" not in own_files(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"files": 3}', "\x00"])
def test_a_record_that_names_no_files(tmp_path: Path, text: str) -> None:
    evaluate(tmp_path)
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(MixedFilesError, match="does not say which files are of its evaluation"):
        own_files(tmp_path)


def test_scores_alone_need_no_record(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("name\n")
    assert set(own_files(tmp_path)) == {"metrics.csv"}
    assert own_files(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("how", ["another's", "changed"])
@pytest.mark.parametrize("name", ["metrics.csv", "metrics.json", "calibration.json", "run.json"])
def test_files_of_others_are_not_replaced(tmp_path: Path, name: str, how: str) -> None:
    """Told before anything is computed."""
    if how == "changed":
        evaluate(tmp_path)
    (tmp_path / name).write_text("of the user")
    before = contents(tmp_path)
    with pytest.raises(NotOursError, match=name.replace(".", r"\.")):
        engine(tmp_path, "new", [CalibrationWriter])
    assert contents(tmp_path) == before


def test_files_that_are_moved_with_their_folder_stay_ours(tmp_path: Path) -> None:
    evaluate(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    evaluate(tmp_path / "two", "new")
    assert facts(tmp_path / "two")["model"] == "new"
    assert (tmp_path / "two" / MANIFEST).is_file()


def test_writers_that_share_nothing_leave_each_other_alone(tmp_path: Path) -> None:
    """Handlers that somebody uses on their own, each with the folder."""
    data = toy.records(2)
    toy.evaluator(torch.nn.Conv2d(3, 1, 1), data, [ScoreWriter(tmp_path, ["val_dice"])]).run()
    EvaluationFiles.of(tmp_path).write("probes.csv", "name\n")
    assert visible(tmp_path) == {"metrics.csv", "metrics.json", "probes.csv"}
