# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What an adaptation must not do is told when the network is built; what it may do comes back from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from monai_vlsm.adapters import (
    Adaptation,
    AdaptationError,
    AdapterTargets,
    BottleneckAdapter,
    FeatureAdapters,
    attach_adapter,
)
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.io import save_atomically
from monai_vlsm.networks import CLIPSegNet, load_network
from monai_vlsm.serving import AdapterBank
from tests.serving.models import ask


@dataclass(frozen=True)
class Free(Adaptation):
    """Any value as its setting."""

    value: Any = None


@dataclass(frozen=True)
class Forgetful(Adaptation):
    """Draws a new setting each time."""

    value: object = field(default_factory=object, compare=True)

    def settings(self) -> dict[str, Any]:
        return {"type": self.kind()}


@dataclass(frozen=True)
class Named(Adaptation):
    """A setting with the name that says what it is."""

    type: str = "a"


@dataclass(frozen=True)
class Featureless(Adaptation):
    def install(self, targets: AdapterTargets) -> Any:
        return None


@dataclass(frozen=True)
class Wrapping(Adaptation):
    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        for mlp in targets.vision.mlps:
            mlp.fc1 = nn.Sequential(mlp.fc1)
        return FeatureAdapters()


@dataclass(frozen=True)
class Hidden(Adaptation):
    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        targets.decoder.register_buffer("mine", torch.ones(1), persistent=False)
        return FeatureAdapters()


WRONG: dict[str, tuple[Adaptation, str]] = {
    "a folder": (Free(Path("x")), "must be a frozen dataclass"),
    "a number of NumPy": (Free(np.float64(1)), "must be a frozen dataclass"),
    "a tensor": (Free(torch.ones(1)), "must be a frozen dataclass"),
    "keys that are no texts": (Free({1: 2}), "must be a frozen dataclass"),
    "not a number": (Free(float("nan")), "must be a frozen dataclass"),
    "a part of it": (Forgetful(), "settings of Forgetful do not make it again"),
    "a field called type": (Named(), "none of them called type"),
    "no feature_adapters": (
        Featureless(),
        "Featureless.install must return FeatureAdapters, got NoneType",
    ),
    "other names": (Wrapping(), "renamed 24 weights of the network, the first is base.*fc1.bias"),
    "a buffer that is not saved": (Hidden(), "cannot hold the buffer base.decoder.mine"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_refused_before_training(kind: str, backbone: Path) -> None:
    adaptation, message = WRONG[kind]
    with pytest.raises(AdaptationError, match=message):
        CLIPSegNet(backbone, adaptation)


class Drawn(nn.Module):
    """A projection that stays as it was drawn, a scale that trains, and a count that a file must hold."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.drawn = nn.Parameter(torch.randn(width, width), requires_grad=False)
        self.scale = nn.Parameter(torch.ones(width))
        self.register_buffer("count", torch.tensor(3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * (x @ self.drawn)


class Frozen(nn.Module):
    """Nothing of it trains."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.drawn = nn.Parameter(torch.randn(width), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drawn


class Ending(FeatureAdapters):
    """A block of the package between the stages."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.block = BottleneckAdapter(width, 2)

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        return self.block(embedding)


@dataclass(frozen=True)
class Mixed(Adaptation):
    """Trained, drawn and frozen parts, biases of the base, and a block in the feature_adapters."""

    sizes: tuple[int, ...] = (1, 2)

    @property
    def frozen_encoders(self) -> frozenset[str]:
        return frozenset()

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        for index in self.sizes:
            attach_adapter(targets.vision.mlps[index], Drawn(targets.vision.width))
            attach_adapter(targets.text.attentions[index], Frozen(targets.text.width))
        targets.decoder.film_mul.bias.requires_grad_(True)
        return Ending(targets.condition_width)


def test_all_that_was_added_comes_back(backbone: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = CLIPSegNet(backbone, Mixed(), default_prompt="polyp").eval()
    assert sum("drawn" in name for name in network.trained_names) == 4
    assert sum("count" in name for name in network.trained_names) == 2
    assert "base.decoder.film_mul.bias" in network.trained_names
    save_atomically(TrainedState(network).state_dict(), tmp_path / "model.pt")
    expected = ask(network)
    bank = AdapterBank(backbone)
    bank.load("mixed", tmp_path / "model.pt")
    for other in (load_network(tmp_path / "model.pt"), bank.network("mixed")):
        assert other.settings() == network.settings()
        torch.testing.assert_close(ask(other), expected, atol=1e-5, rtol=1e-5)
