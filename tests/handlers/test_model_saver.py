# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events

from monai_vlsm.handlers import ModelSaver
from monai_vlsm.io import replacing


class _Epoch:
    """Its state is the epoch, so that the file says when it was written."""

    def __init__(self, trainer: Engine) -> None:
        self.trainer = trainer

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.trainer.state.epoch}


def _saved(path: Path, scores: Sequence[float | None], resume: dict[str, Any] | None = None) -> list[int]:
    """Epoch in the file after each epoch; None stands for an epoch without validation."""
    trainer, history = Engine(lambda *_: None), []
    state = SimpleNamespace(epoch=0, metrics={}, key_metric_name="dice", best_metric=-1, best_metric_epoch=-1)
    evaluator: Any = SimpleNamespace(state=state)

    @trainer.on(Events.EPOCH_COMPLETED)
    def _validate(engine: Engine) -> None:
        score = scores[engine.state.epoch - 1]
        if score is not None:  # as monai.engines.Workflow does
            state.epoch, state.metrics = engine.state.epoch, {"dice": score}
            if state.best_metric_epoch == -1 or score > state.best_metric:
                state.best_metric, state.best_metric_epoch = score, engine.state.epoch

    saver = ModelSaver(_Epoch(trainer), path, evaluator)
    saver.attach(trainer)
    if resume is not None:
        saver.load_state_dict(resume)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda _: history.append(_epoch_in(path)))
    trainer.run([0], max_epochs=len(scores))
    return history


def _epoch_in(path: Path) -> int:
    return int(torch.load(path, weights_only=True)["epoch"]) if path.exists() else 0


@pytest.mark.parametrize(
    ("scores", "history"),
    [
        ([0.1, 0.3, 0.2, 0.3, 0.4], [1, 2, 2, 2, 5]),
        ([None, None, 0.1, None, 0.05], [1, 2, 3, 3, 3]),  # validated every third epoch, say
        ([None, None, None], [1, 2, 3]),  # no validation data
        ([math.nan, 0.1, math.nan, 0.2], [0, 2, 2, 4]),
        ([0.1, math.nan, 0.05], [1, 1, 1]),
    ],
)
def test_keeps_the_best(tmp_path: Path, scores: list[float | None], history: list[int]) -> None:
    assert _saved(tmp_path / "models" / "model.pt", scores) == history


def test_a_resumed_run_knows_the_best_so_far(tmp_path: Path) -> None:
    best = {"best_metric": 0.5, "best_metric_epoch": 7}
    assert _saved(tmp_path / "model.pt", [None, 0.4, 0.6], resume=best) == [0, 0, 3]


def test_without_an_evaluator_every_epoch_is_saved(tmp_path: Path) -> None:
    trainer = Engine(lambda *_: None)
    saver = ModelSaver(_Epoch(trainer), tmp_path / "model.pt")
    saver.attach(trainer)
    trainer.run([0], max_epochs=3)
    assert _epoch_in(tmp_path / "model.pt") == 3
    assert saver.state_dict() == {}
    saver.load_state_dict({})


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(error), replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "new"


def test_new_weights_have_no_temperature_of_old_ones(tmp_path: Path) -> None:
    """A training that goes on from a calibrated model."""
    state = SimpleNamespace(temperature=2.5)
    state.state_dict = lambda: {"temperature": state.temperature}
    trainer = Engine(lambda *_: None)
    ModelSaver(state, tmp_path / "model.pt").attach(trainer)
    trainer.run([0], max_epochs=1)
    assert torch.load(tmp_path / "model.pt", weights_only=True) == {"temperature": 1.0}
