# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Engine, Events

from monai_vlsm.handlers import EarlyStop, RateSchedule


def _train(handlers: Sequence[Any], evaluator: Any, scores: Sequence[float], interval: int = 1) -> Engine:
    """A trainer whose n-th validation, every ``interval`` epochs, yields the n-th score."""
    trainer = Engine(lambda *_: None)
    values = iter(scores)

    @trainer.on(Events.EPOCH_COMPLETED(every=interval))
    def _validate(engine: Engine) -> None:
        evaluator.state.epoch, evaluator.state.metrics = engine.state.epoch, {"dice": next(values)}

    for handler in handlers:
        handler.attach(trainer)
    trainer.run([0], max_epochs=len(scores) * interval)
    return trainer


def _evaluator() -> Any:
    return SimpleNamespace(state=SimpleNamespace(epoch=0, metrics={}))


@pytest.mark.parametrize(
    ("scores", "interval", "last_epoch"),
    [
        ([0.1, 0.2, 0.2, 0.2, 0.9], 1, 4),
        ([0.1, 0.2, 0.20005, 0.2, 0.9], 1, 4),  # less than min_delta is no improvement
        ([0.1, 0.2, 0.2, 0.3, 0.9], 1, 5),
        ([0.1, 0.2, 0.2, 0.2, 0.9], 3, 12),  # patience counts validations
        ([math.nan, math.nan, math.nan, 0.9, 0.9], 1, 3),
        ([0.5, math.nan, 0.6, math.nan, 0.7], 1, 5),
        ([0.5, math.nan, math.nan, 0.6, 0.7], 1, 3),
    ],
)
def test_stops_the_engine_it_is_attached_to(scores: list[float], interval: int, last_epoch: int) -> None:
    evaluator = _evaluator()
    trainer = _train([EarlyStop(evaluator, "dice", patience=2)], evaluator, scores, interval)
    assert trainer.state.epoch == last_epoch


def test_state_continues_the_count() -> None:
    evaluator = _evaluator()
    first, second = (EarlyStop(evaluator, "dice", patience=3) for _ in range(2))
    _train([first], evaluator, [0.5, 0.4, 0.4])
    assert first.state_dict() == {"counter": 2, "best_score": 0.5, "threshold_mode": "abs"}
    second.attach(Engine(lambda *_: None))
    second.load_state_dict(first.state_dict())
    assert _train([_Keep(second)], evaluator, [0.45, 0.9]).state.epoch == 1


class _Keep:
    """Attaches a handler without losing its state."""

    def __init__(self, handler: EarlyStop) -> None:
        self.handler = handler

    def attach(self, engine: Engine) -> None:
        state = self.handler.state_dict()
        self.handler.attach(engine)
        self.handler.load_state_dict(state)


@pytest.mark.parametrize("off", [None, 0, -1])
def test_off(off: int | None) -> None:
    """It never stops, and counts, so that a run prolonged with some patience stops when it should."""
    evaluator = _evaluator()
    handler = EarlyStop(evaluator, "dice", patience=off)
    assert _train([handler], evaluator, [0.5, *[0.4] * 30]).state.epoch == 31
    assert (handler.state_dict()["counter"], handler.waited, handler.exhausted) == (30, 30, False)


def test_exhausted() -> None:
    evaluator = _evaluator()
    handler = EarlyStop(evaluator, "dice", patience=2)
    _train([handler], evaluator, [0.5, 0.4])
    assert (handler.waited, handler.exhausted) == (1, False)
    _train([_Keep(handler)], evaluator, [0.4])
    assert (handler.waited, handler.exhausted) == (2, True)


def test_without_any_validation_it_does_nothing() -> None:
    trainer = Engine(lambda *_: None)
    EarlyStop(_evaluator(), "dice", patience=1).attach(trainer)
    assert trainer.run([0], max_epochs=3).epoch == 3


def test_unknown_metric_names_the_known_ones() -> None:
    evaluator = _evaluator()
    with pytest.raises(KeyError, match=r"no metric 'iou' to stop on, it has \['dice'\]"):
        _train([EarlyStop(evaluator, "iou")], evaluator, [0.5])


def test_state_before_attaching_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="before it is attached"):
        EarlyStop(_evaluator(), "dice").state_dict()


def test_plateau_schedule_steps_after_validations_only() -> None:
    evaluator, steps = _evaluator(), []
    scheduler = SimpleNamespace(step=steps.append)
    _train([RateSchedule(scheduler, evaluator, "dice")], evaluator, [0.3, 0.2], interval=3)
    assert steps == [0.3, 0.2]
