# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Layers that are computed again in the backward pass: same numbers, less memory."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import (
    Adaptation,
    AdaptFormerAdaptation,
    CrossModalAdaptation,
    DenseAdaptation,
    FineTuning,
    ShallowAdaptation,
    TelescopicAdaptation,
    VisualPromptAdaptation,
)
from monai_vlsm.networks import CLIPSegNet
from tests.networks.tiny_networks import inputs

ADAPTATIONS = {
    "dense_v": DenseAdaptation("v", width=4),
    "dense_vl": DenseAdaptation("vl", width=4),
    "dense_vlc": DenseAdaptation("vl", width=4, condition_width=4),
    "shallow_vl": ShallowAdaptation("vl", width=6),
    "full": FineTuning("full"),
    "telescopic": TelescopicAdaptation(),
    "prompts": VisualPromptAdaptation(3),
    "adaptformer": AdaptFormerAdaptation(width=4),
    "cross_modal": CrossModalAdaptation(width=4),
}


def pair(backbone: Path, adaptation: Adaptation, dropout: float = 0.0) -> tuple[CLIPSegNet, CLIPSegNet]:
    """The same network without and with checkpointing, in training mode."""
    torch.manual_seed(3)
    plain = CLIPSegNet(backbone, adaptation=adaptation, dropout=dropout, attention="eager").train()
    recomputing = copy.deepcopy(plain)
    recomputing.checkpointing = True
    return plain, recomputing


def step(network: CLIPSegNet, autocast: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss and gradients of one step from a fixed random state."""
    torch.manual_seed(4)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = network(*inputs(network, 2, 3)).square().mean()
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("adaptation", ADAPTATIONS.values(), ids=list(ADAPTATIONS))
@pytest.mark.parametrize("autocast", [False, True], ids=["fp32", "bf16"])
def test_same_bits(backbone: Path, adaptation: Adaptation, autocast: bool) -> None:
    network, _ = pair(backbone, adaptation, dropout=0.5)
    for layer in network.base.clip.vision_model.encoder.layers:
        layer.self_attn.dropout = 0.5  # CLIPSeg has none here; the random state must be kept all the same
    loss, gradients = step(network, autocast)
    network.zero_grad(set_to_none=True)
    network.checkpointing = True  # of the same network: weights at other addresses may give other last bits
    loss_again, gradients_again = step(network, autocast)
    assert torch.equal(loss, loss_again)
    assert set(gradients) == set(gradients_again)
    assert all(torch.equal(gradients[name], gradients_again[name]) for name in gradients)


def saved_bytes(network: CLIPSegNet) -> int:
    """What autograd keeps of the activations between the two passes."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = network(*inputs(network, 8)).square().mean()
    weights = {p.untyped_storage().data_ptr() for p in network.parameters()}
    total = sum(size for pointer, size in kept.items() if pointer not in weights)
    loss.backward()
    return total


def test_keeps_less(backbone: Path) -> None:
    plain, recomputing = pair(backbone, DenseAdaptation("vl", width=4))
    assert saved_bytes(recomputing) < 0.5 * saved_bytes(plain)


def count_runs(network: CLIPSegNet) -> list[int]:
    ran: list[int] = []
    layer = network.base.clip.vision_model.encoder.layers[2]
    layer.mlp.register_forward_pre_hook(lambda *_: ran.append(1))
    return ran


@pytest.mark.parametrize(("training", "runs"), [(True, 2), (False, 1)])
def test_training_mode_only(backbone: Path, training: bool, runs: int) -> None:
    network = CLIPSegNet(backbone, adaptation=DenseAdaptation("vl", width=4), checkpointing=True).train(training)
    ran = count_runs(network)
    network(*inputs(network)).mean().backward()
    assert len(ran) == runs


def test_frozen_encoders_are_not_computed_again(backbone: Path) -> None:
    network = CLIPSegNet(backbone, adaptation=ShallowAdaptation("vl", width=6), checkpointing=True).train()
    ran = count_runs(network)
    network(*inputs(network)).mean().backward()
    assert len(ran) == 1


def test_state_and_settings_are_the_same(backbone: Path) -> None:
    plain, recomputing = pair(backbone, DenseAdaptation("vl", width=4))
    assert plain.settings() == recomputing.settings()
    assert list(plain.state_dict()) == list(recomputing.state_dict())
