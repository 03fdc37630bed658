# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from monai_vlsm.adapters import attach_adapter


class Add(nn.Module):
    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        return x + self.amount


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, str]:
        return x, "weights"


def test_tensor_output() -> None:
    module = nn.Identity()
    attach_adapter(module, Add(2))
    assert module(torch.tensor(1.0)).item() == 3


def test_tuple_output_keeps_the_rest() -> None:
    module = Pair()
    attach_adapter(module, Add(2))
    value, rest = module(torch.tensor(1.0))
    assert (value.item(), rest) == (3, "weights")


def test_twice_is_refused() -> None:
    module = nn.Linear(2, 2)
    attach_adapter(module, Add(1))
    with pytest.raises(ValueError, match="Linear already carries an adapter"):
        attach_adapter(module, Add(1))
