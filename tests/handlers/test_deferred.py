# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Values that are read together, as on a GPU; and what is told of a number that is not finite until then."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from monai_vlsm import host
from monai_vlsm.handlers import NonFiniteError, TensorBoardLog
from monai_vlsm.handlers.deferred import DeferredReads
from monai_vlsm.handlers.engine_state import EpochLoss
from tests.handlers import toy

pytestmark = pytest.mark.usefixtures("blank_curves")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No value can be read without waiting."""
    monkeypatch.setattr(host, "HOST", frozenset())


@pytest.mark.usefixtures("elsewhere")
def test_values_are_read_after_twenty_steps_and_at_the_end() -> None:
    taken: list[float] = []
    reads: list[int] = []
    engine = Engine(lambda engine, value: DeferredReads.of(engine).add(torch.tensor([value]), taken.append))
    DeferredReads.of(engine)
    assert DeferredReads.of(engine) is DeferredReads.of(engine)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: reads.append(len(taken)))
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: reads.append(len(taken)))
    engine.run([float(value) for value in range(45)])
    assert taken == list(range(45))
    assert reads == [0] * 19 + [20] * 20 + [40] * 6 + [45]


def test_what_is_there_is_read_at_once() -> None:
    taken: list[float] = []
    DeferredReads.of(Engine(print)).add(torch.tensor(2.5, requires_grad=True), taken.append)
    assert taken == [2.5]


@pytest.mark.usefixtures("elsewhere")
def test_losses_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, float, int]] = []
    monkeypatch.setattr(
        TensorBoardLog, "_write_scalar", lambda _self, _engine, _writer, *values: written.append(values)
    )
    engine, loss, means = Engine(lambda _, value: {"loss": torch.tensor(float(value))}), EpochLoss(), []
    loss.attach(engine)
    TensorBoardLog(tmp_path).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: means.append(loss.mean))
    engine.run([1, 2, 6], max_epochs=2)
    assert means == [3.0, 3.0]
    assert written == [("train_loss", value, step) for step, value in enumerate([1.0, 2.0, 6.0] * 2, 1)]


def _fused(engine: Any) -> Any:
    group = engine.optimizer.param_groups[0]
    engine.optimizer = torch.optim.AdamW(group["params"], lr=0.02, fused=True)
    return engine


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("fused", [True, False])
def test_no_step_is_taken_until_a_bad_loss_is_told(tmp_path: Path, fused: bool) -> None:
    data = toy.records(6)
    engine = toy.trainer(tmp_path, train_data=data)
    engine = _fused(engine) if fused else engine
    before: dict[str, Any] = {}

    @engine.on(Events.EPOCH_STARTED(once=2))
    def _break_an_image(_: Engine) -> None:
        data[4]["image"][0, 0, 0] = math.nan

    @engine.on(IterationEvents.LOSS_COMPLETED)
    def _keep(engine: Any) -> None:
        if not before and not engine.state.output["loss"].isfinite():
            before["weights"] = {name: weight.clone() for name, weight in engine.network.state_dict().items()}

    with pytest.raises(NonFiniteError, match=r"(?s)the loss is nan in epoch 2, batch \d of 3; .*Images .*  case4"):
        engine.run()
    assert before or not fused
    for name, weight in engine.network.state_dict().items():
        assert weight.isfinite().all()
        assert not before or torch.equal(weight, before["weights"][name])
    assert torch.load(tmp_path / "last.pt", weights_only=True)["epoch"] == 1
    assert not hasattr(engine.optimizer, "found_inf")


@pytest.mark.usefixtures("elsewhere")
def test_bad_gradients_are_held_back_too(tmp_path: Path) -> None:
    engine = _fused(toy.trainer(tmp_path, epochs=1))
    kept: list[torch.Tensor] = []

    def spoil(engine: Any) -> None:
        parameter = next(engine.network.parameters())
        kept.append(parameter.detach().clone())
        if engine.state.iteration == 2:
            parameter.grad.fill_(math.inf)

    engine.add_event_handler(IterationEvents.LOSS_COMPLETED, lambda _: None)
    handlers = engine._event_handlers[IterationEvents.BACKWARD_COMPLETED]
    engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, spoil)
    handlers.insert(0, handlers.pop())  # before the gradients are clipped
    with pytest.raises(NonFiniteError, match=r"the norm of the gradients is (inf|nan) in epoch 1, batch 2 of 3"):
        engine.run()
    assert not torch.equal(kept[0], kept[1])
    assert torch.equal(kept[1], next(engine.network.parameters()))
