# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a client may ask of a training."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("monailabel")


@pytest.mark.parametrize("values", [{"device": "$1/0"}, {"val_split": 3}, {"max_epochs": 0}, {"gpus": "$1/0"}])
def test_request_for_training_is_checked(values: dict[str, Any]) -> None:
    from monai_vlsm.apps.label.train import TrainRequestError, checked_request

    with pytest.raises(TrainRequestError, match=next(iter(values))):
        checked_request(values)
    assert checked_request({"run_id": "$1/0", "device": ["cpu"], "x": "$1/0"})["run_id"] == "run"


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A task whose training does what ``made`` does."""
    from monailabel.tasks.train.bundle import BundleTrainTask

    from monai_vlsm.apps.label.train import PromptTrainTask

    found: Any = PromptTrainTask.__new__(PromptTrainTask)
    found.model, found.output = SimpleNamespace(name="one", file=tmp_path / "one.pt"), tmp_path / "training"
    found.output.mkdir()
    found.model.file.write_text("before")
    monkeypatch.setattr(BundleTrainTask, "__call__", lambda task, request, datastore: task.made())
    return found


def test_a_training_without_a_model_is_a_failure(task: Any) -> None:
    """Also where a training of before left a file."""
    from monai_vlsm.apps.label.train import TrainingFailedError

    (task.output / "model.pt").write_text("of a training that was killed")
    task.made = dict
    with pytest.raises(TrainingFailedError, match=r"made no model, so .*one\.pt stays as it was"):
        task({"device": "cpu"}, None)
    assert task.model.file.read_text() == "before"
    task.made = lambda: (task.output / "model.pt").write_text("new") and {}
    task({"device": "cpu"}, None)
    assert task.model.file.read_text() == "new"


def test_processes_that_fail_are_a_failure(task: Any) -> None:
    from monai_vlsm.apps.label.train import TrainingFailedError

    task._run_command([sys.executable, "-c", ""], {})
    with pytest.raises(TrainingFailedError, match="ended with status 3"):
        task._run_command([sys.executable, "-c", "raise SystemExit(3)"], {})
