# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The average of the weights: its value, where it is used, and that a resumed run keeps it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import ValidationHandler
from torch import nn

from monai_vlsm.handlers import EpochSeed, HandlerList, ModelSaver, RateSchedule, TrainingState, WeightAverage
from monai_vlsm.handlers import rate_schedule as make_schedule

EPOCHS, BATCHES = 3, 4


def data() -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {name: torch.randn(2, size, generator=generator) for name, size in (("image", 3), ("label", 2))}
        for _ in range(BATCHES)
    ]


def network() -> Any:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    made[0].requires_grad_(False)
    return made


def trainer(
    folder: Path, decay: float, epochs: int = EPOCHS, resume: bool = False, kind: str = "plateau", **more: Any
) -> tuple[Any, WeightAverage]:
    net = network()
    optimizer = torch.optim.SGD([one for one in net.parameters() if one.requires_grad], lr=0.1, momentum=0.9)
    schedule: Any = make_schedule(optimizer, kind, EPOCHS * BATCHES, 0.25)
    average = WeightAverage(decay)
    validator = SupervisedEvaluator(torch.device("cpu"), data()[:1], net, decollate=False)
    saver = ModelSaver(net, folder / "model.pt")
    objects = {"model": net, "optimizer": optimizer, "lr_scheduler": schedule, "average": average}
    handlers = [
        HandlerList([average]),
        EpochSeed(3),
        ValidationHandler(1, validator),
        RateSchedule(schedule),
        saver,
        TrainingState(objects, folder / "last.pt", resume),
    ]
    made: Any = SupervisedTrainer(
        torch.device("cpu"),
        epochs,
        data(),
        net,
        optimizer,
        nn.MSELoss(),
        train_handlers=[HandlerList(handlers)],
        decollate=False,
        **more,
    )
    made.validator = validator
    return made, average


def by_hand(decay: float, steps: list[torch.Tensor], start: torch.Tensor) -> torch.Tensor:
    average = start.clone()
    for count, weights in enumerate(steps, 1):
        now = min(decay, (1 + count) / (10 + count))
        average = now * average + (1 - now) * weights
    return average


def history(engine: Any) -> list[torch.Tensor]:
    """The weights of the training after each iteration."""
    found: list[torch.Tensor] = []
    weight = engine.network[1].weight
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: found.append(weight.detach().clone()))
    return found


@pytest.mark.parametrize("decay", [0.3, 0.99])
def test_the_average_is_validated_and_saved_and_training_goes_on_as_without(tmp_path: Path, decay: float) -> None:
    engine, _ = trainer(tmp_path, decay)
    plain, _ = trainer(tmp_path / "plain", 0.0)
    start, validated = engine.network[1].weight.detach().clone(), []
    engine.validator.add_event_handler(
        Events.STARTED, lambda _: validated.append(engine.network[1].weight.detach().clone())
    )
    steps, plain_steps = history(engine), history(plain)
    engine.run()
    plain.run()
    assert all(map(torch.equal, steps, plain_steps))
    expected = [by_hand(decay, steps[: BATCHES * epoch], start) for epoch in range(1, EPOCHS + 1)]
    torch.testing.assert_close(validated, expected)
    torch.testing.assert_close(torch.load(tmp_path / "model.pt", weights_only=True)["1.weight"], expected[-1])
    torch.testing.assert_close(engine.network[1].weight.detach(), expected[-1])
    assert torch.equal(engine.network[0].weight, network()[0].weight)


@pytest.mark.parametrize("kind", ["plateau", "cosine"])
@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_ends_with_the_same_average(tmp_path: Path, kind: str, stop: int) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    trainer(whole, 0.9, kind=kind)[0].run()
    trainer(half, 0.9, epochs=stop, kind=kind)[0].run()
    again, average = trainer(half, 0.9, resume=True, kind=kind)
    again.run()
    assert average.steps == EPOCHS * BATCHES
    for name in ("model.pt", "last.pt"):
        one, two = (torch.load(folder / name, weights_only=True) for folder in (whole, half))
        flat = [tensors(one), tensors(two)]
        assert len(flat[0]) == len(flat[1]) > 3
        assert all(map(torch.equal, *flat))


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [found for one in inside for found in tensors(one)]


@pytest.mark.parametrize(("accumulation", "steps"), [(1, 12), (2, 6), (3, 6)])
def test_only_steps_of_the_optimizer_count(tmp_path: Path, accumulation: int, steps: int) -> None:
    engine, average = trainer(tmp_path, 0.9, accumulation_steps=accumulation)
    engine.run()
    assert average.steps == steps


@pytest.mark.parametrize("fused", [False, True])
def test_steps_that_a_scaler_skips_do_not_count(fused: bool) -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    average = WeightAverage(0.5)
    engine: Any = SimpleNamespace(optimizer=optimizer)
    average._start(engine)
    for factor in (1.0, float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert average.steps == 2


def test_another_decay_or_other_weights_are_refused(tmp_path: Path) -> None:
    trainer(tmp_path, 0.9, epochs=1)[0].run()
    with pytest.raises(ValueError, match=r"ema is 0\.5 here and 0\.9 in the run"):
        trainer(tmp_path, 0.5, resume=True)[0].run()
    average = WeightAverage(0.9)
    engine: Any = SimpleNamespace(optimizer=torch.optim.SGD(nn.Linear(2, 2).parameters()))
    average._start(engine)
    state = average.state_dict()
    with pytest.raises(ValueError, match="averages are of other weights"):
        average.load_state_dict({**state, "average": state["average"][:1]})


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ValueError, match="decay must be from 0 to below 1"):
        WeightAverage(decay)


def test_cosine_rises_and_falls(tmp_path: Path) -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = make_schedule(optimizer, "cosine", 20, 0.2)
    rates = []
    for _ in range(20):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.25)
    assert max(rates) == rates[4] == 1.0
    assert rates[4:] == sorted(rates[4:], reverse=True)
    assert rates[12] == pytest.approx(0.5)
    assert 0 < rates[-1] < 0.02


def test_cosine_of_another_length_cannot_be_resumed(tmp_path: Path) -> None:
    trainer(tmp_path, 0.0, epochs=1, kind="cosine")[0].run()
    content = torch.load(tmp_path / "last.pt", weights_only=True)
    content["facts"]["lr_scheduler t_total"] = 99
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(ValueError, match="t_total is 12 here and 99 in the run"):
        trainer(tmp_path, 0.0, resume=True, kind="cosine")[0].run()


@pytest.mark.parametrize("wrong", [("steps", 5, 0.1), ("cosine", 0, 0.1), ("cosine", 5, 1.1)])
def test_schedules_that_cannot_be(wrong: tuple[str, int, float]) -> None:
    with pytest.raises(ValueError, match="expected kind plateau or cosine"):
        make_schedule(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0), *wrong)
