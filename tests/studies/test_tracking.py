# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One experiment of MLflow for a study."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from monai_vlsm.studies import StudyError, StudyFolder
from monai_vlsm.studies.tracking import Tracking
from tests.studies.workers import worker

Make = Callable[..., StudyFolder]


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.usefixtures("mlflow")
def test_all_trainings_have_one_store_and_a_name(folder: Make) -> None:
    made = folder(systems=["good"])
    worker(made, tracking=Tracking.of("mlflow", "my study", made.root)).work()
    for run in made.runs:
        training, evaluation = (
            line for line in (made.of_run(run) / "log.txt").read_text().splitlines() if line.startswith("$ ")
        )
        expected = ["--tracking=mlflow", "--experiment_name='my_study'", f"--run_name='{run.name}'"]
        expected += [f"--tracking_uri=sqlite:///{made.root / 'mlruns.db'}"]
        assert training.split()[-4:] == expected and "tracking" not in evaluation


def test_a_server_that_the_environment_names(monkeypatch: pytest.MonkeyPatch, folder: Make) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    tracking = Tracking.of("mlflow", "s", Path("out"))
    assert tracking is not None
    assert not any("tracking_uri" in word for word in tracking.words(folder().runs[0]))


def test_none(tmp_path: Path) -> None:
    assert Tracking.of(None, "s", tmp_path) is None


def test_without_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"needs MLflow: pip install 'monai_vlsm\[track\]'"):
        Tracking.of("mlflow", "s", tmp_path)
