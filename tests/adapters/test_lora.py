# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""LoRA, SSF and BitFit: what begins, where they sit, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from monai_vlsm.adapters import (
    AdaptationError,
    BitFitAdaptation,
    LoRAAdaptation,
    LowRankUpdate,
    ScaleShift,
    SSFAdaptation,
    count_parameters,
)
from monai_vlsm.networks import CLIPSegNet


def adapted(network: CLIPSegNet, kind: type[nn.Module]) -> set[str]:
    """Names of the layers that carry an adapter, without their numbers: ``vision q_proj``."""
    names = [name.split(".") for name, module in network.named_modules() if isinstance(module, kind)]
    return {f"{name[2].removesuffix('_model')} {name[-2]}" for name in names}


def depths(network: CLIPSegNet, kind: type[nn.Module]) -> dict[str, set[int]]:
    names = [name.split(".") for name, module in network.named_modules() if isinstance(module, kind)]
    return {
        encoder: {int(name[5]) for name in names if name[2] == f"{encoder}_model"} for encoder in ("vision", "text")
    }


@pytest.mark.parametrize(
    ("encoders", "projections", "expected"),
    [
        ("v", ["query"], {"vision q_proj"}),
        ("vl", ["fc2", "out"], {f"{one} {name}" for one in ("vision", "text") for name in ("out_proj", "fc2")}),
    ],
)
def test_which_layers(encoders: str, projections: list[str], expected: set[str], backbone: Path) -> None:
    network = CLIPSegNet(backbone, LoRAAdaptation(encoders, projections, rank=2))
    assert adapted(network, LowRankUpdate) == expected
    text = set(range(10)) if encoders == "vl" else set()  # all of the tiny text encoder
    assert depths(network, LowRankUpdate) == {"vision": set(range(10)), "text": text}


def test_ssf_is_behind_all_that_holds_weights(backbone: Path) -> None:
    network = CLIPSegNet(backbone, SSFAdaptation())
    layers = ("layer_norm1", "layer_norm2", "q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    assert adapted(network, ScaleShift) == {f"{one} {name}" for one in ("vision", "text") for name in layers}


def test_biases_are_those_of_the_base(backbone: Path) -> None:
    network = CLIPSegNet(backbone, BitFitAdaptation("v"))
    assert network.state_dict().keys() == CLIPSegNet(backbone).state_dict().keys()
    assert all(name.endswith(".bias") and ".vision_model." in name for name in network.trained_names)
    assert count_parameters(network)[0] == 10 * (7 * 12 + 16)


def test_the_order_of_projections_does_not_count() -> None:
    assert LoRAAdaptation(projections=["value", "query"]) == LoRAAdaptation(projections=("query", "value"))


def test_alpha_counts_by_rank(backbone: Path) -> None:
    torch.manual_seed(0)
    update = LowRankUpdate(nn.Linear(4, 3), 2, 5.0, dora=False)
    nn.init.ones_(update.up.weight)
    x, y = torch.randn(2, 4), torch.randn(2, 3)
    torch.testing.assert_close(update(nn.Linear(4, 3), x, y), y + 5 * update.up(update.down(x)))
    network = CLIPSegNet(backbone, LoRAAdaptation(rank=4, alpha=6))
    assert {module.scale for module in network.modules() if isinstance(module, LowRankUpdate)} == {1.5}


def test_dora_learns_length_and_direction_apart() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(4, 3)
    update = LowRankUpdate(linear, 2, 2.0, dora=True)
    nn.init.normal_(update.up.weight)
    assert update.magnitude is not None
    with torch.no_grad():
        update.magnitude.mul_(3)
    x = torch.randn(5, 4)
    weight = linear.weight + 2.0 * update.up.weight @ update.down.weight
    expected = 3 * linear.weight.norm(dim=1, keepdim=True) * weight / weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(update.merged(linear), expected)
    torch.testing.assert_close(update(linear, x, linear(x)), x @ expected.T + linear.bias)


def test_dora_of_a_row_of_zeros() -> None:
    """As of a layer that was pruned: its length is not divided by."""
    torch.manual_seed(0)
    linear, x = nn.Linear(4, 3), torch.randn(5, 4)
    nn.init.zeros_(linear.weight[0].data)
    update = LowRankUpdate(linear, 2, 2.0, dora=True)
    torch.testing.assert_close(update(linear, x, linear(x)), linear(x))
    torch.testing.assert_close(update.merged(linear), linear.weight)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"rank": 0}, "rank must be a positive whole number, got 0"),
    ({"rank": 2.5}, "rank must be a positive whole number, got 2.5"),
    ({"rank": True}, "rank must be a positive whole number, got True"),
    ({"alpha": 0}, "alpha must be a positive number, got 0"),
    ({"alpha": float("nan")}, "alpha must be a positive number, got nan"),
    ({"alpha": "8"}, "alpha must be a positive number, got '8'"),
    ({"alpha": 10**400}, "alpha must be at most 8192, got more"),
    ({"alpha": float("inf")}, "alpha must be at most 8192, got more"),
    ({"rank": 10**12}, "rank must be at most 8192, got 1000000000000"),
    ({"encoders": "t"}, "encoders must be one of 'v', 'vl', got 't'"),
    ({"projections": ["q_proj"]}, "projections must be a list of some of 'query', .*each once, got .'q_proj'."),
    ({"projections": "query"}, "projections must be a list of some .*got 'query'"),
    ({"projections": []}, r"projections must be a list .*got \[\]"),
    ({"projections": ["query", "query"]}, "projections must be .*each once"),
    ({"projections": [["query"]]}, "projections must be a list"),
    ({"dora": "yes"}, "dora must be True or False, got 'yes'"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AdaptationError, match=message) as caught:
        LoRAAdaptation(**arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [SSFAdaptation, BitFitAdaptation])
def test_unknown_encoders(kind: Any) -> None:
    with pytest.raises(AdaptationError, match="encoders must be one of 'v', 'vl', got 'text'"):
        kind("text")


@pytest.mark.parametrize(("encoders", "most"), [("v", 12), ("vl", 8)])
def test_a_rank_above_the_width(encoders: str, most: int, backbone: Path) -> None:
    CLIPSegNet(backbone, LoRAAdaptation(encoders, rank=most))
    with pytest.raises(AdaptationError, match=f"rank must be at most {most}, .*got {most + 1}"):
        CLIPSegNet(backbone, LoRAAdaptation(encoders, rank=most + 1))
