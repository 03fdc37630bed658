# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Casts of frozen weights that are made once."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from monai_vlsm.kernels import PreparedWeights

CHANGES: dict[str, Callable[[nn.Linear], object]] = {
    "load_state_dict": lambda layer: layer.load_state_dict({"weight": torch.ones(2, 3), "bias": torch.ones(2)}),
    "an optimizer": lambda layer: layer.weight.requires_grad_(False).mul_(3),
    "the bias alone": lambda layer: layer.bias.requires_grad_(False).add_(3),
    "other memory": lambda layer: setattr(layer.weight, "data", torch.ones(2, 3)),
}


class Counter:
    """Makes twice the weights, and counts how often."""

    def __init__(self, layer: nn.Linear) -> None:
        self.layer, self.made = layer, 0

    def __call__(self) -> list[Tensor]:
        self.made += 1
        return [2 * self.layer.weight, 2 * self.layer.bias]

    def get(self, kept: PreparedWeights, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
        return list(kept.get((self.layer.weight, self.layer.bias), dtype, self))


@pytest.fixture
def counter() -> Counter:
    torch.manual_seed(0)
    return Counter(nn.Linear(3, 2))


def test_made_once(counter: Counter) -> None:
    kept = PreparedWeights()
    first, second = counter.get(kept), counter.get(kept)
    assert counter.made == 1
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert torch.equal(first[0], (2 * counter.layer.weight).bfloat16())
    assert not any(part.requires_grad for part in first)


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_made_again_after_a_change(change: Callable[[nn.Linear], object], counter: Counter) -> None:
    kept = PreparedWeights()
    counter.get(kept)
    change(counter.layer)
    weight, bias = counter.get(kept)
    assert counter.made == 2
    assert torch.equal(weight, (2 * counter.layer.weight).bfloat16())
    assert torch.equal(bias, (2 * counter.layer.bias).bfloat16())


def test_each_type_gets_its_own(counter: Counter) -> None:
    kept = PreparedWeights()
    types = (torch.bfloat16, torch.float16)
    assert [counter.get(kept, dtype)[0].dtype for dtype in types] == list(types)


def test_copies_of_a_layer_have_nothing_yet(counter: Counter) -> None:
    kept = PreparedWeights()
    counter.get(kept)
    other = Counter(copy.deepcopy(counter.layer))
    other.get(kept)
    assert (counter.made, other.made) == (1, 1)


def test_gone_with_the_layer(counter: Counter) -> None:
    kept = PreparedWeights()
    counter.get(kept)
    assert len(kept) == 1
    del counter.layer
    gc.collect()
    assert len(kept) == 0
