# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Frozen weights in 16 bits: equal numbers under autocast, and files that know nothing of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import CLIPSegNet, round_frozen


def build(backbone: Path, adaptation: Adaptation) -> CLIPSegNet:
    torch.manual_seed(0)
    return CLIPSegNet(backbone, adaptation, default_prompt="polyp").train()


def step(network: CLIPSegNet) -> tuple[Tensor, list[Tensor]]:
    """Logits under autocast, and the gradients of all that trains."""
    image = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(image)
    logits.square().mean().backward()
    return logits.detach(), [one.grad for one in network.parameters() if one.grad is not None]


@pytest.mark.parametrize(
    "adaptation",
    [DenseAdaptation("vl", 4), ShallowAdaptation("v", 4), FineTuning("decoder")],
    ids=lambda one: one.kind(),
)
def test_the_same_to_the_bit(backbone: Path, adaptation: Adaptation) -> None:
    network, rounded = build(backbone, adaptation), build(backbone, adaptation)
    assert round_frozen(rounded, "bfloat16") > 0
    (logits, gradients), (own, own_gradients) = step(network), step(rounded)
    assert torch.equal(logits, own)
    assert len(gradients) == len(own_gradients) > 0
    assert all(torch.equal(first, second) for first, second in zip(gradients, own_gradients, strict=True))
    for name, parameter in rounded.named_parameters():
        encoder = "decoder" not in name and name.rpartition(".")[2] in ("weight", "bias")
        plain = parameter.requires_grad or not encoder or "norm" in name or "lay" in name.split(".")[-2]
        assert parameter.dtype == torch.float32 or not plain, name


def test_files_are_those_of_float32(backbone: Path) -> None:
    network, rounded = (build(backbone, ShallowAdaptation("vl", 4)) for _ in range(2))
    round_frozen(rounded, torch.float16)
    found, expected = TrainedState(rounded).state_dict(), TrainedState(network).state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in network.trained_names)
    assert TrainedState(rounded).fingerprint == TrainedState(network).fingerprint
    assert rounded.frozen_settings("vision") == network.frozen_settings("vision")
    TrainedState(network).load_state_dict(found)
    TrainedState(rounded).load_state_dict(expected)
    round_frozen(rounded, torch.float16)
    assert TrainedState(rounded).fingerprint == TrainedState(network).fingerprint


def test_what_is_saved_is_left_alone(backbone: Path) -> None:
    assert round_frozen(build(backbone, DenseAdaptation("v", 4)), False) == 0
    network = build(backbone, FineTuning("full"))
    assert round_frozen(network, torch.float16) == 0
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
