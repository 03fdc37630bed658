# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A search of settings: what is tried, who does it, and what the runs take from it."""

from __future__ import annotations

import importlib.util
import math
import multiprocessing
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.commands import main
from monai_vlsm.io import read_rows
from monai_vlsm.studies import Study, StudyError, StudyFolder, study_status
from monai_vlsm.studies.choices import require_choices
from monai_vlsm.studies.study import Range, Search
from monai_vlsm.studies.trials import draw_values
from monai_vlsm.studies.writing import write_tables
from tests.studies.workers import starts, until, worker

pytest.importorskip("optuna")
RATE = {"learning_rate": {"from": "1e-5", "to": "1e-2"}}
Make = Callable[..., StudyFolder]


@pytest.fixture
def searched(place: Path, study: Callable[..., Study]) -> Make:
    """The trials of a study with four learning rates."""

    def make(**given: Any) -> StudyFolder:
        made = study(**{"seeds": [41, 42], "search": {"trials": 4, "settings": RATE}, **given})
        return StudyFolder.plan_search(made, place / "out")

    return make


def runs_of(trials: StudyFolder) -> StudyFolder:
    """The runs of the same study."""
    return StudyFolder.of(trials.study, trials.root)


def test_values_fill_their_range_evenly() -> None:
    search = Search(8, {"rate": Range(1e-5, 1e-1, True), "kind": ["a", "b"], "width": Range(8, 15, False)}, 41)
    found = draw_values(search)
    assert found == draw_values(search) != draw_values(Search(8, search.settings, 42))
    assert sorted(math.floor(2 * math.log10(one["rate"])) for one in found) == list(range(-10, -2))
    assert Counter(one["kind"] for one in found) == {"a": 4, "b": 4}
    assert sorted(one["width"] for one in found) == list(range(8, 16))
    assert all(len(f"{one['rate']:g}".replace(".", "").lstrip("0")) <= 8 for one in found)


def test_every_value_of_a_list_once() -> None:
    tried = {"rate": [0.1, 0.2, 0.3], "decay": [0]}
    assert sorted(one["rate"] for one in draw_values(Search(3, tried, 41))) == [0.1, 0.2, 0.3]


@pytest.mark.usefixtures("quick")
def test_the_runs_take_the_best_value_of_their_system_and_dataset(place: Path, searched: Make) -> None:
    trials = searched(datasets=["polyps", "moles"])
    assert worker(trials).work() == 16
    assert Counter(starts(place)) == {f"{s} 41 train {d}": 4 for s in ("good", "better") for d in ("polyps", "moles")}
    rates = {run.settings["learning_rate"] for run in trials.runs}
    best = min(rates, key=lambda rate: abs(math.log10(rate / 0.001)))
    made = runs_of(trials)
    assert len(rates) == 4 and {run.settings["learning_rate"] for run in made.runs} == {best} and len(made.runs) == 8
    assert {choice.best.values["learning_rate"] for choice in made.choices if choice.best} == {best}
    made.plan()
    worker(made).work()
    assert Counter(line.split()[2] for line in starts(place)) == {"train": 20, "evaluate": 8}, "a trial trains again"
    assert made.left_over() == []


@pytest.mark.usefixtures("quick")
def test_runs_wait_for_their_search(searched: Make) -> None:
    trials = searched(systems=["good", "broken"], seeds=[41])
    assert "0 of 8 trials" in study_status(trials).text("trial")
    assert runs_of(trials).runs == []
    with pytest.raises(StudyError, match=r"0 of 8 trials are over; .*study search"):
        require_choices(runs_of(trials).choices)
    worker(trials).work()
    assert require_choices(runs_of(trials).choices) == ["no runs of broken on polyps: all of its trials failed"]
    assert [run.system for run in runs_of(trials).runs] == ["good"]


@pytest.mark.usefixtures("quick")
def test_a_system_with_nothing_to_train_has_no_trials(searched: Make) -> None:
    zero_shot = {"bundle": "good", "settings": {"trainable": "none"}}
    trials = searched(systems={"good": None, "zero-shot": zero_shot}, seeds=[41])
    assert {run.system for run in trials.runs} == {"good"}
    assert [run.system for run in runs_of(trials).runs] == ["zero-shot"]
    worker(trials).work()
    assert [run.system for run in runs_of(trials).runs] == ["good", "zero-shot"]


@pytest.mark.usefixtures("quick")
def test_a_rate_that_gives_nan_is_a_trial_too(searched: Make) -> None:
    trials = searched(systems=["good"], search={"trials": 2, "settings": {"learning_rate": [0.001, 0.5]}})
    worker(trials).work()
    (choice,) = runs_of(trials).choices
    assert choice.is_over and [trial.failed for trial in choice.trials].count(True) == 1
    assert choice.best is not None and choice.best.values == {"learning_rate": 0.001}


@pytest.mark.usefixtures("quick")
def test_a_training_that_does_not_validate(searched: Make) -> None:
    trials = searched(systems=["blind"])
    worker(trials).work()
    assert "has no Dice of a validation" in (trials.failure(trials.runs[0]) or {})["error"]


def test_several_workers_share_it_and_one_is_killed(place: Path, searched: Make) -> None:
    trials = searched(systems=["slow"], seeds=[41], lease=0.5, search={"trials": 2, "settings": RATE})
    fork = multiprocessing.get_context("fork")
    killed, other = (fork.Process(target=worker(trials).work) for _ in range(2))
    killed.start()
    state = trials.of_run(trials.runs[0]) / "training" / "last.pt"
    until(lambda: state.is_file() and state.read_text() == "1")
    other.start()
    assert killed.pid is not None
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    other.join()
    assert all(trials.is_done(run) for run in trials.runs)
    assert Counter(starts(place)) == {"slow 41 train polyps": 2, "slow 41 resume polyps": 1}


@pytest.mark.usefixtures("quick")
def test_another_search_tries_other_values(searched: Make) -> None:
    first = searched(systems=["good"])
    worker(first).work()
    before = {run.name for run in first.runs}
    assert {run.name for run in searched(systems=["good"]).runs} == before
    second = searched(systems=["good"], search={"trials": 2, "settings": RATE, "seed": 5})
    assert not before & {run.name for run in second.runs}
    assert "the search of its settings is not over" in runs_of(second).left_over()[1]


@pytest.mark.usefixtures("quick")
def test_tables_say_how_the_settings_were_found(searched: Make, tmp_path: Path) -> None:
    trials = searched(seeds=[41])
    write_tables(runs_of(trials), tmp_path / "t")
    assert "0 of 4" in (tmp_path / "t" / "table.md").read_text(encoding="utf-8")
    worker(trials).work()
    made = runs_of(trials)
    made.plan()
    worker(made).work()
    files = write_tables(made, tmp_path / "t")
    text = (tmp_path / "t" / "table.md").read_text(encoding="utf-8")
    assert "each system had 4 trials on each dataset" in text and "1e-05 to 0.01, logarithmic" in text
    best = made.runs[0].settings["learning_rate"]
    assert f"| polyps | good | 4 of 4 | 0 | {best} |" in text.partition("## Search of settings")[2]
    rows = read_rows(files[-1])
    assert len(rows) == 8 and [row["value"] for row in rows if row["chosen"] == "True"] == [str(best)] * 2
    assert (made.root / rows[0]["folder"] / "result.json").is_file()


def test_a_range_that_holds_fewer_values_than_trials() -> None:
    with pytest.raises(StudyError, match="4 trials, but only 3 different ones were found"):
        draw_values(Search(4, {"rate": Range(0.1, 0.102, False)}, 41))


def test_without_optuna(searched: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"needs Optuna: pip install 'monai_vlsm\[search\]'"):
        searched()


@pytest.mark.usefixtures("quick")
def test_as_it_is_typed(
    place: Path, study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("monai_vlsm.studies.leaks.audit", lambda root: {})
    study(systems=["good"], search={"trials": 3, "settings": {"learning_rate": [0.001, 0.002, 0.5]}})

    def typed(action: str, *options: str) -> tuple[int, str]:
        status = main(["study", action, str(place / "study.yaml"), f"--output={place / 'out'}", *options])
        said = capsys.readouterr()
        return status, said.out + said.err

    assert typed("work", "--gpus=none")[0] == 1
    status, said = typed("plan")
    assert status == 0 and "search: 3 trials of learning_rate" in said and "0 runs (1 system" in said
    status, said = typed("search", "--gpus=none")
    assert status == 0, "a rate that is too high is no failure of the search"
    assert "3 of 3 trials: 2 done, 0 running, 1 failed" in said
    assert re.search(r"polyps +good +3 of 3 +1 +0\.001 +90\.00", said)
    assert typed("work", "--gpus=none")[0] == 0
    status, said = typed("status")
    assert "search: [##" in said and "2 of 2 runs: 2 done" in said and "changed" not in said
