# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Each kernel against the same maths in torch's own operations, differentiated by autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import linear, relu, scaled_dot_product_attention, silu

from monai_vlsm.kernels import FrozenAttention, FrozenSiLUMLP, NarrowMLP, mlp, rows

HEADS = 2
# rows of the input: one block, several blocks of nearly equal height, one row
SHAPES = {"one block": (2, 5), "several blocks": (3, 7), "one row": (1, 1)}


def plain_attention(states: Tensor, weight: Tensor, bias: Tensor, causal: bool) -> Tensor:
    batch, length, width = states.shape
    split = linear(states, weight, bias).view(batch, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
    attended = scaled_dot_product_attention(*split.unbind(0), is_causal=causal, scale=1.0)
    return attended.transpose(1, 2).reshape(batch, length, width)


def plain_silu(states: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor, scale: float) -> Tensor:
    return linear(silu(scale * linear(states, up, up_bias)) / scale, down, down_bias)


def plain_relu(states: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor) -> Tensor:
    return linear(relu(linear(states, up, up_bias)), down, down_bias)


def draw(*shapes: Sequence[int], dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def mlp_weights(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    return draw((12, 6), (12,), (6, 12), (6,), dtype=dtype)


Call = Callable[[Tensor], Tensor]


def both(kernel: str, dtype: torch.dtype) -> tuple[Call, Call]:
    """A kernel and what it must agree with, as functions of the states."""
    if kernel in ("attention", "causal attention"):
        weight, bias = draw((18, 6), (18,), dtype=dtype)
        causal = kernel.startswith("causal")
        return (
            lambda states: FrozenAttention.apply(states, weight, bias, HEADS, causal),
            lambda states: plain_attention(states, weight, bias, causal),
        )
    weights = mlp_weights(dtype)
    if kernel == "narrow MLP":
        return lambda states: NarrowMLP.apply(states, *weights), lambda states: plain_relu(states, *weights)
    scale = 1.702 if kernel == "scaled SiLU MLP" else 1.0
    return lambda states: FrozenSiLUMLP.apply(states, *weights, scale), lambda states: plain_silu(
        states, *weights, scale
    )


KERNELS = ("attention", "causal attention", "SiLU MLP", "scaled SiLU MLP", "narrow MLP")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlp, "_NARROW_ROWS", 10)
    monkeypatch.setattr(rows.row_blocks, "__defaults__", (10,))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_same_values_and_gradients(kernel: str, shape: tuple[int, int]) -> None:
    ours, plain = both(kernel, torch.float64)
    (states,), (weighting,) = draw((*shape, 6)), draw((*shape, 6))
    values, gradients = [], []
    for call in (ours, plain):
        given = states.clone().requires_grad_()
        value = call(given)
        (value * weighting).sum().backward()
        values.append(value.detach())
        gradients.append(given.grad)
    torch.testing.assert_close(*values, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(*gradients, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_are_those_of_finite_differences(kernel: str) -> None:
    ours, _ = both(kernel, torch.float64)
    (states,) = draw((2, 6, 6))
    assert gradcheck(ours, states.requires_grad_())


def test_weights_of_a_narrow_mlp_train() -> None:
    (states,) = draw((3, 7, 6))
    gradients = []
    for call in (NarrowMLP.apply, plain_relu):
        given = [part.clone().requires_grad_() for part in (states, *mlp_weights())]
        call(*given).square().sum().backward()
        gradients.append([part.grad for part in given])
    for ours, plain in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bfloat16_is_as_close_to_the_truth_as_torchs_operations(kernel: str) -> None:
    truth = both(kernel, torch.float64)[1]
    (states,) = draw((3, 7, 6), dtype=torch.bfloat16)
    errors = []
    for call in both(kernel, torch.bfloat16):
        given, exact = states.clone().requires_grad_(), states.double().requires_grad_()
        value, expected = call(given), truth(exact)
        value.sum().backward()
        expected.sum().backward()
        assert value.dtype == torch.bfloat16 and given.grad is not None and exact.grad is not None
        errors.append([float((value - expected).norm()), float((given.grad - exact.grad).norm())])
    for ours, plain in zip(*errors, strict=True):
        assert ours < 1.5 * plain


@pytest.mark.parametrize("kernel", KERNELS)
def test_under_autocast_types_are_as_given(kernel: str) -> None:
    ours, _ = both(kernel, torch.float32)
    (states,) = draw((2, 5, 6), dtype=torch.float32)
    outside = ours(states)
    with torch.autocast("cpu", torch.bfloat16):
        inside = ours(states)
    assert torch.equal(outside, inside)


@pytest.mark.parametrize(("height", "expected"), [(1, [1]), (10, [10]), (11, [6, 5]), (25, [9, 8, 8]), (0, [0])])
def test_blocks_of_rows(height: int, expected: list[int]) -> None:
    assert [len(block) for block in rows.row_blocks(torch.zeros(height, 2), 10)] == expected
