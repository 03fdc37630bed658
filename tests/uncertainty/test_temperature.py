# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import ModelMismatchError, TrainedState, read, read_settings, verify_settings
from monai_vlsm.networks import CLIPSegNet, load_network
from monai_vlsm.serving import Segmenter
from monai_vlsm.uncertainty import (
    TemperatureError,
    TemperatureSetter,
    count_logits,
    fit_temperature,
    require_validation,
)


def pixels(logit: float, foreground: int, background: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((foreground + background,), logit), torch.tensor([1] * foreground + [0] * background)


@pytest.mark.parametrize("scale", [0.25, 1.0, 3.0, 15.0])
def test_the_temperature_that_makes_probabilities_shares(scale: float) -> None:
    # 731 of 1000 pixels are foreground where the logit is `scale`, 269 where it is -`scale`
    counts = count_logits(*pixels(scale, 731, 269)) + count_logits(*pixels(-scale, 269, 731))
    assert fit_temperature(counts) == pytest.approx(scale / math.log(731 / 269), rel=1e-4)


def test_it_is_that_of_the_cross_entropy_over_all_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 6 * torch.randn(20_000, generator=generator)
    truth = torch.bernoulli((logits / 2.5).sigmoid(), generator=generator)
    found = fit_temperature(count_logits(logits, truth))
    losses = [
        torch.nn.functional.binary_cross_entropy_with_logits(logits.double() / one, truth.double()).item()
        for one in (found * 0.99, found, found * 1.01)
    ]
    assert losses[1] == min(losses)
    assert found == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers(wrong: float) -> None:
    counts = count_logits(torch.tensor([wrong, 1.0, -1.0, -1.0]), torch.tensor([1, 0, 1, 0]))
    with pytest.raises(TemperatureError, match="some of this model are NaN or infinite"):
        fit_temperature(counts)


@pytest.mark.parametrize(("foreground", "background"), [(0, 0), (0, 5), (5, 0)])
def test_without_pixels_of_both_kinds_there_is_none(foreground: int, background: int) -> None:
    with pytest.raises(TemperatureError, match=f"inside and outside of their masks, got {foreground} and {background}"):
        fit_temperature(count_logits(*pixels(-3.0, foreground, background)))


@pytest.mark.parametrize("split", ["test", "train", "testing", ""])
def test_only_on_validation_data(split: str) -> None:
    with pytest.raises(TemperatureError, match=f"needs the validation data, val_split val, got '{split}'"):
        require_validation(True, split)
    require_validation(False, split)


def test_a_model_to_write_into() -> None:
    require_validation(True, "val")
    with pytest.raises(TemperatureError, match="zero_shot has none"):
        require_validation(True, "val", zero_shot=True)


def engine_with(items: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> Any:
    return SimpleNamespace(state=SimpleNamespace(batch=items, output=outputs))


@pytest.fixture
def model(backbone: Path, tmp_path: Path) -> Path:
    network = CLIPSegNet(backbone, DenseAdaptation("vl", width=4), default_prompt="polyp")
    network.existence_threshold = 0.25
    torch.save(TrainedState(network).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_it_is_written_into_the_model_file_from_class_prompts_alone(model: Path) -> None:
    before = read(model)
    setter = TemperatureSetter(model)
    logits, truth = pixels(3.0, 731, 269)
    output = {"logits": torch.stack([logits, -logits]), "logits_target": torch.stack([truth, 1 - truth])}
    given_away = {"logits": torch.full((1, 1000), 9.0), "logits_target": torch.zeros(1, 1000)}
    setter._clear(engine_with([], []))
    setter._collect(engine_with([{"name": "a"}, {"name": "b", "prompt_tag": "mask-derived"}], [output, given_away]))
    setter._save(engine_with([], []))
    after = read(model)
    expected = 3 / math.log(731 / 269)
    assert read_settings(model)["temperature"] == pytest.approx(expected, rel=1e-4)
    assert after["monai_vlsm"] == {**before["monai_vlsm"], "temperature": read_settings(model)["temperature"]}
    assert all(torch.equal(after[name], value) for name, value in before.items() if name != "monai_vlsm")
    assert load_network(model).temperature == pytest.approx(expected, rel=1e-4)
    assert Segmenter(model, device="cpu").network.temperature == pytest.approx(expected, rel=1e-4)


def test_a_file_that_says_none_has_temperature_1(model: Path) -> None:
    assert "temperature" not in read_settings(model)
    network = load_network(model)
    assert network.temperature == 1
    network.temperature = 2.0
    TrainedState(network).load_state_dict(read(model))
    assert network.temperature == 1


def test_off_does_nothing() -> None:
    setter = TemperatureSetter("nowhere.pt", enabled=False)
    setter.attach(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0, -1.0, math.inf, math.nan, "warm", True])
def test_a_file_with_another_temperature_is_refused(model: Path, temperature: object) -> None:
    with pytest.raises(ModelMismatchError, match="temperature must be above 0"):
        verify_settings({**read_settings(model), "temperature": temperature})
