# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from monai_vlsm.adapters import BottleneckAdapter


@pytest.mark.parametrize(
    ("width", "bottleneck", "parameters"), [(768, 64, 99_136), (512, 64, 66_112), (512, 256, 262_912)]
)
def test_parameters(width: int, bottleneck: int, parameters: int) -> None:
    """Counts of the paper's dense adapters: vision, text, condition."""
    assert sum(p.numel() for p in BottleneckAdapter(width, bottleneck).parameters()) == parameters


@pytest.mark.parametrize("shape", [(8,), (2, 8), (2, 5, 8)])
def test_formula(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    block, x = BottleneckAdapter(8, 2), torch.randn(shape)
    inner = (x @ block.down.weight.T + block.down.bias).clamp(min=0)
    expected = x + (inner @ block.up.weight.T + block.up.bias).clamp(min=0)
    torch.testing.assert_close(block(x), expected)
    assert block(x).shape == shape


@pytest.mark.parametrize(("width", "bottleneck"), [(0, 2), (8, 0), (8, -1)])
def test_bad_size(width: int, bottleneck: int) -> None:
    with pytest.raises(ValueError, match=f"width={width}, bottleneck={bottleneck}"):
        BottleneckAdapter(width, bottleneck)
