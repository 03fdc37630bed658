# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor, list_data_collate
from monai.transforms import Decollated

from monai_vlsm.handlers.engine_state import (
    EpochLoss,
    batch_names,
    is_best_epoch,
    per_structure,
    scalar_metrics,
    validated_in,
)
from tests.handlers import toy

FILED = [{"image": MetaTensor(torch.zeros(1, 2, 2), meta={"filename_or_obj": f"{n}.png"})} for n in "ab"]
NAMED = [{"image": torch.zeros(1, 2, 2), "name": name} for name in "ab"]


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (list_data_collate(NAMED), ["a", "b"]),
        (Decollated(keys=None)(list_data_collate(NAMED)), ["a", "b"]),
        (list_data_collate(FILED), ["a.png", "b.png"]),
        (Decollated(keys=None)(list_data_collate(FILED)), ["a.png", "b.png"]),
        ({"image": torch.zeros(1)}, []),
        (torch.zeros(2), []),
        (None, []),
    ],
)
def test_batch_names(batch: Any, expected: list[str]) -> None:
    assert batch_names(batch) == expected


def _evaluator(**state: Any) -> Any:
    defaults = {"epoch": 2, "metrics": {"dice": 0.5}, "key_metric_name": "dice", "best_metric": 0.5}
    return SimpleNamespace(state=SimpleNamespace(**{**defaults, "best_metric_epoch": 2, **state}))


@pytest.mark.parametrize(
    ("state", "best"),
    [
        ({}, True),
        ({"best_metric_epoch": 1}, False),
        ({"metrics": {"dice": math.nan}}, False),
        ({"key_metric_name": None, "best_metric_epoch": -1}, True),
    ],
)
def test_is_best_epoch(state: dict[str, Any], best: bool) -> None:
    assert is_best_epoch(_evaluator(**state)) is best


def test_nan_of_the_first_validation_is_forgotten() -> None:
    network = torch.nn.Conv2d(3, 1, 1)
    engine = toy.evaluator(network, toy.records(2), [])
    engine.state.best_metric, engine.state.best_metric_epoch = math.nan, 1
    engine.state.epoch, engine.state.metrics = 1, {"val_dice": math.nan}
    assert not is_best_epoch(engine)
    engine.run(2)
    assert is_best_epoch(engine)
    assert engine.state.best_metric_epoch == 2
    assert math.isfinite(engine.state.best_metric)


def test_validated_in() -> None:
    assert validated_in(_evaluator(), 2)
    assert not validated_in(_evaluator(), 3)
    assert not validated_in(_evaluator(metrics={}), 2)
    assert not validated_in(None, 2)


def test_scalar_metrics_leaves_out_what_is_not_a_number() -> None:
    assert scalar_metrics(_evaluator(metrics={"dice": 0.5, "each": torch.zeros(3), "n": 2})) == {"dice": 0.5, "n": 2.0}


def test_per_structure_splits_the_channels() -> None:
    output = [{"pred": torch.arange(2.0).reshape(2, 1, 1)}, {"pred": torch.full((1, 1, 1), 5.0)}]
    (items,) = per_structure(["pred"])(output)
    assert [tuple(item.shape) for item in items] == [(1, 1, 1)] * 3
    assert [float(item) for item in items] == [0.0, 1.0, 5.0]


def test_epoch_loss_is_the_mean_of_one_epoch() -> None:
    engine = Engine(lambda _, value: [{"loss": torch.tensor(float(value))}])
    loss, seen = EpochLoss(), []
    assert math.isnan(loss.mean)
    loss.attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: seen.append(loss.mean))
    engine.run([1, 2, 6], max_epochs=2)
    assert seen == [3.0, 3.0]
