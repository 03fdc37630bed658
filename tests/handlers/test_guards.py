# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""NaNGuard and ClipGradNorm."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents

from monai_vlsm.handlers import ClipGradNorm, NaNGuard, NonFiniteError
from tests.handlers import toy


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_loss_stops_before_the_weights_change(tmp_path: Path, value: float) -> None:
    """The files are those of the epoch before, and a resumed run starts there."""
    data = toy.records(6)
    engine = toy.trainer(tmp_path, train_data=data)
    before: dict[str, Any] = {}

    @engine.on(Events.EPOCH_STARTED(once=3))
    def _break_an_image(_: Engine) -> None:
        data[4]["image"][0, 0, 0] = value

    @engine.on(IterationEvents.FORWARD_COMPLETED)
    def _keep(engine: Any) -> None:
        before["weights"] = {name: weight.clone() for name, weight in engine.network.state_dict().items()}
        before["files"] = {path: path.read_bytes() for path in tmp_path.glob("*.pt")}

    message = r"(?s)the loss is (nan|inf) in epoch 3, batch \d of 3; .*Images of the batch:.*  case4"
    with pytest.raises(NonFiniteError, match=message) as info:
        engine.run()
    assert len(str(info.value).splitlines()) == 3
    assert str(engine.state.iteration - 6) in str(info.value).partition("batch ")[2]
    assert {path: path.read_bytes() for path in tmp_path.glob("*.pt")} == before["files"]
    assert torch.load(tmp_path / "last.pt", weights_only=True)["epoch"] == 2
    for name, weight in engine.network.state_dict().items():
        assert torch.equal(weight, before["weights"][name])
        assert weight.isfinite().all()


def test_a_good_loss_passes_and_missing_names_are_no_problem() -> None:
    state = SimpleNamespace(output={"loss": torch.tensor(0.5)}, batch=None, epoch=1, iteration=2, epoch_length=None)
    engine: Any = SimpleNamespace(state=state)
    NaNGuard()(engine)
    state.output["loss"] = torch.tensor(math.nan)
    with pytest.raises(NonFiniteError, match=r"(?s)epoch 1, batch 2; .*names no images"):
        NaNGuard()(engine)


def _engine(gradient: list[float], **kwargs: Any) -> Any:
    """A trainer after the backward pass of iteration 1 of 3."""
    weight = torch.nn.Parameter(torch.zeros(len(gradient)))
    weight.grad = torch.tensor(gradient)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    state = SimpleNamespace(iteration=1, epoch_length=3, epoch=1, batch={"name": ["case"]})
    defaults = {"optimizer": optimizer, "scaler": None, "accumulation_steps": 1, "state": state, "weight": weight}
    return SimpleNamespace(**{**defaults, **kwargs})


@pytest.mark.parametrize(
    ("gradient", "expected"), [([3.0, 4.0], [0.3, 0.4]), ([0.3, 0.0], [0.3, 0.0]), ([0.0, 0.0], [0.0, 0.0])]
)
def test_the_norm_is_limited(gradient: list[float], expected: list[float]) -> None:
    engine = _engine(gradient)
    ClipGradNorm(0.5)(engine)
    assert engine.weight.grad.tolist() == pytest.approx(expected, abs=1e-6)


def test_scaled_gradients_are_clipped_at_their_true_size() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(torch.ones(1))
    engine = _engine([3.0 * 1024, 4.0 * 1024], scaler=scaler)
    ClipGradNorm(0.5)(engine)
    assert engine.weight.grad.tolist() == pytest.approx([0.3, 0.4], abs=1e-6)
    scaler.step(engine.optimizer)
    assert engine.weight.tolist() == pytest.approx([-0.3, -0.4], abs=1e-6)


def test_infinite_scaled_gradients_skip_the_step_without_an_error() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale(torch.ones(1))
    engine = _engine([math.inf, 1.0], scaler=scaler)
    ClipGradNorm(0.5)(engine)
    scaler.step(engine.optimizer)
    scaler.update()
    assert engine.weight.tolist() == [0.0, 0.0]
    assert scaler.get_scale() == 512.0


def _scaled(folder: Path, bad: Any, **settings: Any) -> Any:
    """A trainer in mixed precision on a CPU, whose gradients are NaN in the iterations that ``bad`` says."""
    engine = toy.trainer(folder, **settings)
    engine.amp, engine.scaler, engine.amp_kwargs = True, torch.amp.GradScaler("cpu"), {"enabled": False}
    weight = next(engine.network.parameters())
    weight.register_hook(lambda gradient: gradient * (math.nan if bad(engine.state.iteration) else 1.0))
    return engine


def _run(engine: Any) -> None:
    Engine.run(engine, engine.data_loader, max_epochs=engine.state.max_epochs)


@pytest.mark.parametrize("epochs", [1, 3, 10])
def test_a_training_of_no_step_is_a_failure(epochs: int, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At once when no smaller scale can help, else at the end; each epoch until then says so."""
    engine = _scaled(tmp_path, lambda _: True, epochs=epochs)
    message = "20 steps in a row" if epochs == 10 else f"none of {3 * epochs} steps was taken"
    with pytest.raises(NonFiniteError, match=rf"{message}.*--amp_dtype bfloat16"):
        _run(engine)
    assert engine.state.epoch == min(epochs, 7)
    assert caplog.text.count("steps up to epoch") == engine.state.epoch - 1
    assert (tmp_path / "model.pt").exists() == (epochs > 1)


def test_no_step_until_an_early_stop_is_a_failure(tmp_path: Path) -> None:
    engine = _scaled(tmp_path, lambda _: True, epochs=5)
    engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), engine.terminate)
    with pytest.raises(NonFiniteError, match="none of 6 steps was taken"):
        _run(engine)


def test_a_few_steps_less_are_normal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "monai_vlsm.handlers.skipped_steps"):
        _run(_scaled(tmp_path, lambda iteration: iteration <= 2, epochs=3))
    assert [record.getMessage() for record in caplog.records if "left out" in record.getMessage()] == [
        "2 of 3 steps up to epoch 1 were left out: 16 bits were too few"
    ]


@pytest.mark.parametrize("scaler", [None, torch.amp.GradScaler("cpu", enabled=False)])
def test_infinite_gradients_without_a_scaler_stop(scaler: Any) -> None:
    with pytest.raises(NonFiniteError, match=r"(?s)norm of the gradients is inf in epoch 1, batch 1 of 3.*  case"):
        ClipGradNorm(0.5)(_engine([math.inf, 1.0], scaler=scaler))


@pytest.mark.parametrize(("iteration", "clipped"), [(1, False), (2, True), (3, True), (4, False), (5, True)])
def test_accumulated_gradients_are_clipped_before_a_step_only(iteration: int, clipped: bool) -> None:
    engine = _engine([3.0, 4.0], accumulation_steps=2)
    engine.state.iteration = iteration
    ClipGradNorm(0.5)(engine)
    assert (engine.weight.grad.norm() < 1) == clipped


def test_in_a_trainer_every_step_is_small(tmp_path: Path) -> None:
    norms: list[float] = []
    engine = toy.trainer(tmp_path, epochs=1)
    parameters = list(engine.network.parameters())
    total = torch.nn.utils.get_total_norm
    engine.add_event_handler(
        IterationEvents.BACKWARD_COMPLETED, lambda _: norms.append(float(total([p.grad for p in parameters])))
    )
    engine.run()
    assert len(norms) == 3
    assert max(norms) <= 0.5 + 1e-5
    assert min(norms) > 0


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_max_norm_must_be_positive(max_norm: float) -> None:
    with pytest.raises(ValueError, match="max_norm must be positive, got"):
        ClipGradNorm(max_norm)
