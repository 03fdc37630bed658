# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Several adaptations on one network: in which order they act, and which do not go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import (
    Adaptation,
    AdaptationError,
    AdapterTargets,
    BitFitAdaptation,
    Combination,
    DenseAdaptation,
    FeatureAdapters,
    FineTuning,
    LoRAAdaptation,
    ShallowAdaptation,
    SliceContextAdaptation,
    SSFAdaptation,
    attach_adapter,
    build_adaptation,
    count_parameters,
    with_slices,
)
from monai_vlsm.checkpoints import TrainedState, describe
from monai_vlsm.networks import CLIPSegNet, NotFrozenError
from tests.serving.models import ask, save

DENSE, LORA = DenseAdaptation("v", width=4), LoRAAdaptation(rank=2)


class _Affine(FeatureAdapters):
    """Multiplies and adds, so that the order counts."""

    def __init__(self, factor: float, shift: float, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.factor, self.shift, self.text_layers = factor, shift, layers

    def skips(self, skips: list[Tensor]) -> list[Tensor]:
        return [self.logits(skip) for skip in skips]

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        return self.logits(embedding) + sum(states)

    def logits(self, logits: Tensor) -> Tensor:
        return self.factor * logits + self.shift


@dataclass(frozen=True)
class Doubling(Adaptation):
    """One that does not say what it changes."""

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        return _Affine(2, 0, (5, 1))


@dataclass(frozen=True)
class Adding(Adaptation):
    """Another."""

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        return _Affine(1, 3, (1,))


@dataclass(frozen=True)
class Hidden(Adaptation):
    """Sits where dense adapters sit, and does not say so."""

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        attach_adapter(targets.vision.mlps[0], torch.nn.Linear(targets.vision.width, targets.vision.width))
        return FeatureAdapters()


def test_parts_act_one_after_the_other() -> None:
    targets: Any = None
    both = Combination([Doubling(), Adding()]).install(targets)
    one, text = torch.ones(2, 3), [torch.full((2, 3), 10.0), torch.full((2, 3), 100.0)]
    assert both.text_layers == (1, 5)
    assert torch.equal(both.skips([one])[0], 5 * one)
    assert torch.equal(both.logits(one), 5 * one)
    assert torch.equal(both.condition(one, text), (2 + 110 + 3 + 10) * one)
    assert torch.equal(Combination([Adding(), Doubling()]).install(targets).logits(one), 8 * one)


def test_the_network_hands_its_logits_on(backbone: Path) -> None:
    bare, both = CLIPSegNet(backbone).eval(), CLIPSegNet(backbone, Combination([Doubling(), Adding()])).eval()
    skips, condition = bare.encode_image(torch.ones(2, 3, 32, 32)), torch.ones(4, 8)
    with torch.no_grad():
        plain, found = bare.decode(skips, condition), both.decode(skips, condition)
    assert found.shape == plain.shape == (2, 2, 32, 32)
    torch.testing.assert_close(found, 2 * plain + 3)


def test_what_combines(backbone: Path) -> None:
    both = Combination([ShallowAdaptation("v", width=4), LoRAAdaptation("v", rank=2)])
    assert (both.frozen_encoders, both.slices, both.saves_base) == ({"text"}, 1, False)
    assert Combination([FineTuning("decoder"), ShallowAdaptation("vl")]).frozen_encoders == {"vision", "text"}
    network = CLIPSegNet(backbone, both)
    with pytest.raises(NotFrozenError):
        network.require_frozen("vision")
    network.require_frozen("text")
    counts = [count_parameters(CLIPSegNet(backbone, part))[0] for part in both.parts]
    assert count_parameters(network)[0] == sum(counts)
    assert with_slices(both, 3) == SliceContextAdaptation(both, 1)


def test_settings_of_parts_do_as_parts() -> None:
    both = Combination([DENSE, LORA])
    assert Combination([DENSE.settings(), LORA]) == both
    assert build_adaptation({"type": "Combination", "parts": [DENSE.settings(), LORA.settings()]}) == both
    assert both != Combination([LORA, DENSE])
    assert both.citations[0].startswith("Dhakal") and both.citations[1].startswith("Hu")


def test_a_file_says_what_it_holds(backbone: Path, tmp_path: Path) -> None:
    network = CLIPSegNet(backbone, Combination([DENSE, LORA])).eval()
    file = save(network, tmp_path / "model.pt")
    assert describe(file).adaptation_text == (
        "Combination(parts=[DenseAdaptation(encoders='v', width=4), LoRAAdaptation(encoders='vl', "
        "projections=['query', 'value'], rank=2, alpha=16.0, dora=False)])"
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.01)
    TrainedState(again := CLIPSegNet(backbone, Combination([DENSE, LORA])).eval())
    again.load_state_dict(network.state_dict())
    assert torch.equal(ask(again), ask(network))


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": ([], r"parts must be a list of two adaptations or more, got \[\]"),
    "one": ([LORA], "two adaptations or more"),
    "no list": (LORA, "two adaptations or more, got LoRAAdaptation"),
    "no adaptation": ([LORA, 3], "two adaptations or more"),
    "an unknown one": ([LORA, {"type": "Unknown"}], "unknown adaptation 'Unknown'"),
    "the same kind twice": ([LORA, LoRAAdaptation(projections=["key"])], "LoRAAdaptation comes twice"),
    "all of the network": ([FineTuning("full"), LORA], "FineTuning.*full.* trains the whole network"),
    "nothing that trains": ([FineTuning("none"), LORA], "FineTuning.*none.* changes nothing; leave it out"),
    "the base": ([Adaptation(), LORA], r"Adaptation\(\) changes nothing"),
    "the same weights": ([LORA, SSFAdaptation("v")], "both change vision query, vision value; take one of them"),
    "the same biases": ([BitFitAdaptation("v"), SSFAdaptation()], "both change vision fc1 bias, vision fc2 bias"),
    "the same embedding": (
        [DenseAdaptation(condition_width=4), ShallowAdaptation("vl")],
        "DenseAdaptation and ShallowAdaptation cannot be combined: both change text embedding",
    ),
    "one within": ([Combination([DENSE, LORA]), BitFitAdaptation()], "put the parts of both into one list"),
    "slices": ([LORA, SliceContextAdaptation(DENSE)], r"goes around a combination, as in SliceContextAdaptation\("),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_makes_no_sense(kind: str) -> None:
    parts, message = WRONG[kind]
    with pytest.raises(AdaptationError, match=message) as caught:
        Combination(parts)
    assert "\n" not in str(caught.value)


def test_one_that_does_not_say_where_it_sits(backbone: Path) -> None:
    with pytest.raises(AdaptationError, match=r"CLIPSegMLP already carries an adapter.*sit in different places"):
        CLIPSegNet(backbone, Combination([DENSE, Hidden()]))
