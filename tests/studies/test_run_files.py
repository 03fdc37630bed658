# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of a run that somebody damaged, or that are of another run: they count for nothing, the run is done again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from monai_vlsm.errors import UserError
from monai_vlsm.studies import StudyFolder, study_status
from monai_vlsm.studies.run_files import read_json
from monai_vlsm.studies.trials import kept_values
from monai_vlsm.studies.writing import write_tables
from tests.studies.workers import starts, worker

Make = Callable[..., StudyFolder]
pytestmark = pytest.mark.usefixtures("quick")


def changed(**given: Any) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **given})


@pytest.mark.parametrize(
    "damage",
    [
        *(lambda text: text[: len(text) // 2], lambda text: "", lambda text: "[]", lambda text: "[" * 100_000),
        *(changed(total_seconds=float("nan")), changed(seconds="long"), changed(evaluations=None)),
        *(changed(evaluations={"polyps": None}), changed(evaluations={"polyps": {"styles": ["p1"]}}), changed(leaks=3)),
        *(changed(run=None), changed(run={}), changed(evaluations=[])),
        *(changed(lists=["a"]), changed(lists={"test.json": None}), changed(lists="test.json")),
        changed(evaluations={"polyps": {"styles": ["p1"], "folder": "x", "versions": "1.0"}}),
        changed(evaluations={"polyps": {"styles": ["p1"], "folder": "x"}}),
    ],
)
def test_a_damaged_result(folder: Make, damage: Callable[[str], str]) -> None:
    made = folder(systems=["good"], seeds=[41])
    worker(made).work()
    file = made.of_run(made.runs[0]) / "result.json"
    whole = file.read_text(encoding="utf-8")
    file.write_text(damage(whole), encoding="utf-8")
    assert study_status(made).count("waiting") == 1
    before = len(starts(made.root.parent))
    assert worker(made).work() == 1 and made.result(made.runs[0]) is not None
    assert len(starts(made.root.parent)) == before, "neither trained nor evaluated again"


def test_scores_that_are_gone(folder: Make) -> None:
    made = folder(systems=["good"], seeds=[41])
    worker(made).work()
    (file,) = made.root.glob("runs/*/evaluations/polyps/metrics.csv")
    file.unlink()
    write_tables(made, made.root / "tables")
    assert "0 of 1 run done" in (made.root / "tables" / "table.md").read_text(encoding="utf-8")
    assert worker(made).work() == 1 and made.is_done(made.runs[0])
    file.write_text("name\n")
    with pytest.raises(UserError, match=r"remove .*result\.json, and study work evaluates again"):
        write_tables(made, made.root / "tables")


def test_a_result_of_another_run(folder: Make) -> None:
    made = folder(systems=["good"], seeds=[41, 42])
    worker(made).work()
    first, other = (made.of_run(run) / "result.json" for run in made.runs)
    other.write_bytes(first.read_bytes())
    assert [made.is_done(run) for run in made.runs] == [True, False]


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"error": 3}', '{"error": "x"}'])
def test_a_damaged_failure(folder: Make, content: str) -> None:
    made = folder(systems=["good"], seeds=[41])
    (made.of_run(made.runs[0]) / "failure.json").write_text(content)
    assert "1 waiting" in study_status(made).text()
    assert worker(made).work() == 1 and study_status(made).count("done") == 1


@pytest.mark.parametrize("content", ["", "{}", '{"dataset": "x"}', '{"settings": 3}'])
def test_a_damaged_plan(folder: Make, content: str) -> None:
    made = folder(systems=["good"], seeds=[41])
    for name in (made.runs[0].name, "other"):
        (made.root / "runs" / name).mkdir(exist_ok=True)
        (made.root / "runs" / name / "plan.json").write_text(content)
    assert made.left_over() == [] == made.plan() and read_json(made.of_run(made.runs[0]) / "plan.json")


@pytest.mark.parametrize("content", ['{"finished": true}', "[]", "", '{"finished": true, "parameters": NaN}'])
def test_a_record_of_the_training_that_lacks_something(folder: Make, content: str) -> None:
    made = folder(systems=["good"], seeds=[41])
    (made.of_run(made.runs[0]) / "training").mkdir()
    (made.of_run(made.runs[0]) / "training" / "model.pt").touch()
    (made.of_run(made.runs[0]) / "trained.json").write_text(content)
    assert worker(made).work() == 1 and made.is_done(made.runs[0])


def test_a_damaged_record_of_the_training(folder: Make) -> None:
    made = folder(systems=["good"], seeds=[41])
    (made.of_run(made.runs[0]) / "training").mkdir()
    (made.of_run(made.runs[0]) / "training" / "model.pt").touch()
    (made.of_run(made.runs[0]) / "trained.json").write_text('{"finished": true, "seconds": "long"}')
    assert worker(made).work() == 1 and made.is_done(made.runs[0])
    assert starts(made.root.parent)[0] == "good 41 train polyps"


def test_an_evaluation_that_does_not_say_of_what_it_is(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = folder(systems=["good"], seeds=[41])
    monkeypatch.setattr("monai_vlsm.studies.steps.evaluation_facts", lambda root, place: {"folder": "x"})
    assert worker(made).work() == 1
    assert "failed" in study_status(made).text() and "do not say that they are of p1" in study_status(made).text()


def test_a_result_that_does_not_read_back(folder: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = folder(systems=["good"], seeds=[41])
    facts = {"folder": "x", "styles": ["p1"]}  # where no scores are
    monkeypatch.setattr("monai_vlsm.studies.steps.evaluation_facts", lambda root, place: facts)
    assert worker(made).work() == 1
    said = study_status(made).text()
    assert "result.json" in said and "does not give back" in said and "p1" not in said


def test_a_study_made_in_python_may_hold_tuples(folder: Make) -> None:
    """Files know lists only; what is the same there is the same run."""
    made = folder(systems=["good"], seeds=[41])
    study = replace(made.study.with_setting("encoders", ("query", "value")), styles=("p1",), seeds=(41,))
    found = StudyFolder.of(study, made.root)
    assert len(found.plan()) == 2 and worker(found).work() == 1
    assert found.is_done(found.runs[0]) and study_status(found).count("done") == 1
    listed = StudyFolder.of(made.study.with_setting("encoders", ["query", "value"]), made.root)
    assert listed.is_done(listed.runs[0])


@pytest.mark.parametrize("trials", [None, 3, [3], [{}], [{"encoders": "v"}]])
def test_damaged_values_of_a_search(folder: Make, trials: Any) -> None:
    made = folder(search={"trials": 1, "settings": {"learning_rate": [0.1]}})
    facts = {"trials": 1, "settings": {"learning_rate": [0.1]}, "seed": 41}
    file = made.root / "search.json"
    file.write_text(json.dumps({"search": facts, "trials": [{"learning_rate": 0.1}]}))
    assert kept_values(made.study, made.root) == [{"learning_rate": 0.1}]
    file.write_text(json.dumps({"search": facts, "trials": trials}))
    assert kept_values(made.study, made.root) == []


def test_a_damaged_evaluation_is_made_again(folder: Make) -> None:
    made = folder(systems=["good"], seeds=[41])
    worker(made).work()
    (file,) = made.root.glob("runs/*/evaluations/polyps/metrics.csv")
    file.write_bytes(file.read_bytes()[:200])
    (made.of_run(made.runs[0]) / "result.json").unlink()
    assert worker(made).work() == 1 and made.is_done(made.runs[0])
    assert [line.split()[2] for line in starts(made.root.parent)] == ["train", "evaluate", "evaluate"]
