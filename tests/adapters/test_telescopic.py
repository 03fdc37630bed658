# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Telescopic adapters: where they are and how wide, what they compute, and what becomes of running statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from monai_vlsm.adapters import BoundaryEnhancer, TelescopicAdaptation, TelescopicBlock
from monai_vlsm.checkpoints import TrainedState
from tests.adapters.trained import network, real
from tests.networks.tiny_networks import inputs

TELESCOPIC = TelescopicAdaptation(dropout=0.0)


def test_widths_at_real_size() -> None:
    clip = real(TelescopicAdaptation()).base.clip

    def widths(encoder: Any) -> list[tuple[int, ...]]:
        """Bottlenecks of the blocks behind attention and MLP of each layer."""
        layers = [(layer.self_attn, layer.mlp) for layer in encoder.encoder.layers]
        return [tuple(one.adapter.down.out_features for one in pair if hasattr(one, "adapter")) for pair in layers]

    pairs = [(width, width) for width in (8, 8, 10, 14, 17, 21, 24, 28, 32)]
    assert widths(clip.vision_model) == [*pairs, (), (), ()]
    assert widths(clip.text_model) == [()] * 9 + [(16, 16)] * 3


@pytest.mark.parametrize(("width", "bottleneck", "found"), [(768, 32, 32), (768, 1, 8), (64, 32, 16), (12, 16, 8)])
def test_bottleneck(width: int, bottleneck: int, found: int) -> None:
    assert TelescopicBlock(width, bottleneck, 0.0).down.out_features == found


def test_block() -> None:
    torch.manual_seed(0)
    block, x = TelescopicBlock(40, 10, 0.5).double().eval(), torch.randn(2, 3, 40, dtype=torch.float64)
    assert float(block.scale.detach()) == pytest.approx(0.1) and block.up.weight.any()
    narrow = x @ block.down.weight.T
    normed = (narrow - narrow.mean(-1, keepdim=True)) / (narrow.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = x + block.scale * (normed * torch.sigmoid(normed)) @ block.up.weight.T
    torch.testing.assert_close(block(x), expected)
    assert not torch.equal(block.train()(x), block(x))


def test_boundary_enhancer() -> None:
    torch.manual_seed(0)
    enhancer, logits = BoundaryEnhancer().double(), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    assert sum(one.numel() for one in enhancer.parameters()) == 48
    each = logits.reshape(6, 1, 5, 5)
    edges = functional.conv2d(each, enhancer.edges.weight, padding=1)
    mean, variance = edges.mean((0, 2, 3), keepdim=True), edges.var((0, 2, 3), correction=0, keepdim=True)
    normed = (edges - mean) / (variance + 1e-5).sqrt()
    weight = functional.conv2d(normed * torch.sigmoid(normed), enhancer.weigh.weight)
    torch.testing.assert_close(enhancer.train()(logits), logits * (1 + torch.sigmoid(weight)).reshape(logits.shape))
    # with running statistics each mask is on its own
    torch.testing.assert_close(enhancer.eval()(logits)[1:, 2:], enhancer(logits[1:, 2:]))


def test_running_statistics_are_saved(backbone: Path) -> None:
    made = network(backbone, TELESCOPIC).train()
    made(*inputs(made, 3, 2))
    state = TrainedState(made.eval()).state_dict()
    statistics = [f"feature_adapters.boundary.norm.{name}" for name in ("running_mean", "running_var")]
    assert {*statistics, "feature_adapters.boundary.norm.num_batches_tracked"} <= state.keys()
    assert all(state[name].ne(value).any() for name, value in zip(statistics, (0, 1), strict=True))
    again = network(backbone, TELESCOPIC)
    again.load_state_dict(state)
    arguments = inputs(made, 3, 2)
    torch.testing.assert_close(again(*arguments), made(*arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be a positive whole number, got 0"),
        ({"text_width": -1}, "text_width must be a positive whole number, got -1"),
        ({"condition_width": 0}, "condition_width must be a positive whole number, got 0"),
        ({"dropout": 1.0}, r"dropout must be a number from 0 to below 1, got 1\.0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TelescopicAdaptation(**arguments)
