# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One experiment of MLflow for a study."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

from monai_vlsm.studies import MachineError, StudyError, StudyFolder
from monai_vlsm.studies.claim import Claims
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


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "https://127.0.0.1:9/x", "http://127.0.0.1:99999"])
def test_a_server_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr("monai_vlsm.studies.tracking.getproxies", dict)
    with pytest.raises(MachineError, match=r"MLFLOW_TRACKING_URI: no answer from 127.0.0.1: .*leave out --tracking"):
        Tracking("s", None).prepare()


@pytest.mark.parametrize("address", ["sqlite:///x.db", "file:///x", "databricks", "x"])
def test_stores_without_a_server(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    Tracking("s", None).prepare()


class Client:
    """Of MLflow: makes a database that holds the name of its experiment."""

    def __init__(self, tracking_uri: str) -> None:
        self.file = Path(tracking_uri.removeprefix("sqlite:///"))

    def create_experiment(self, name: str, artifact_location: str) -> None:
        self.file.write_text(name)


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("monai_vlsm.studies.tracking.importlib.import_module", lambda _: Mock(MlflowClient=Client))
    monkeypatch.setattr(Path, "hardlink_to", refuse)


@pytest.mark.usefixtures("no_links")
def test_a_file_system_without_hard_links(tmp_path: Path) -> None:
    Tracking("s", tmp_path / "mlruns.db").prepare()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("mlruns.db", "s")]


@pytest.mark.usefixtures("no_links")
def test_no_database_of_another_worker_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Claims(tmp_path, 60).take(tmp_path)
    assert other is not None

    def use_it(_: float) -> None:  # while this worker waits for that one
        (tmp_path / "mlruns.db").write_text("in use")

    monkeypatch.setattr(time, "sleep", use_it)
    Tracking("s", tmp_path / "mlruns.db").prepare()
    assert (tmp_path / "mlruns.db").read_text() == "in use" and not list(tmp_path.glob(".*"))


def test_none(tmp_path: Path) -> None:
    assert Tracking.of(None, "s", tmp_path) is None


def test_without_mlflow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=r"needs MLflow: pip install 'monai_vlsm\[track\]'"):
        Tracking.of("mlflow", "s", tmp_path)
