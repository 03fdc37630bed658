# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Two-layer perceptrons that work through their rows in blocks: forward and backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from monai_vlsm.kernels.rows import row_blocks

__all__ = ["FrozenSiLUMLP", "NarrowMLP"]

_NARROW_ROWS = 256  # of 2,048 float32: 2 MB, the second-level caches of two cores hold twice that


class FrozenSiLUMLP(torch.autograd.Function):
    """``silu(s (x W1 + b1)) W2 / s + b2`` with frozen weights; gradients for ``x`` only.

    With s = 1.702 the activation is CLIP's GELU, ``h * sigmoid(1.702 h)``, for which torch's parts take three
    operations and keep three matrices for the backward pass; here one matrix ``(M, width)`` is kept.
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(
        ctx: Any, states: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor, scale: float
    ) -> Tensor:
        """Output ``(..., C)``.

        Args:
            ctx: where autograd keeps what the backward pass needs.
            states: ``(..., C)``.
            up: W1, ``(width, C)``.
            up_bias: b1, ``(width,)``.
            down: W2, ``(C, width)``.
            down_bias: b2, ``(C,)``.
            scale: s. With 1 the factors are in the weights already, which saves a pass over the hidden layer.
        """
        rows = states.reshape(-1, states.shape[-1])
        inner = torch.addmm(up_bias, rows, up.t(), beta=scale, alpha=scale)
        blocks = [torch.addmm(down_bias, silu(block), down.t(), alpha=1 / scale) for block in row_blocks(inner)]
        ctx.save_for_backward(inner, up, down)
        return torch.cat(blocks).view(states.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        """Gradient for ``states``; s and 1 / s cancel."""
        inner, up, down = ctx.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        states = torch.empty_like(rows)
        for outer, block, part in zip(row_blocks(rows), row_blocks(inner), row_blocks(states), strict=True):
            hidden = torch.mm(outer, down)
            torch.ops.aten.silu_backward.grad_input(hidden, block, grad_input=hidden)
            torch.mm(hidden, up, out=part)
        return states.view(gradient.shape), None, None, None, None, None


class NarrowMLP(torch.autograd.Function):
    """``relu(x W1 + b1) W2 + b2`` for few channels and a wide hidden layer, such as that of CLIPSeg's decoder.

    The products are so narrow that reading and writing the hidden layer takes as long as they do. In blocks of rows it
    never leaves the processor's caches; it is not kept but computed again in the backward pass, which takes less time
    than bringing it back. Weights may train or not.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, up: Tensor, up_bias: Tensor, down: Tensor, down_bias: Tensor) -> Tensor:
        """Output ``(..., C)``; arguments as in `FrozenSiLUMLP`."""
        rows = states.reshape(-1, states.shape[-1])
        output = torch.empty_like(rows)
        buffer = _buffer(rows, up)
        for block, part in zip(_blocks(rows), _blocks(output), strict=True):
            torch.addmm(down_bias, _hidden(block, up, up_bias, buffer), down.t(), out=part)
        ctx.save_for_backward(rows, up, up_bias, down)
        return output.view(states.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients for all five, or for ``states`` alone where the weights do not train."""
        rows, up, up_bias, down = ctx.saved_tensors
        outer = gradient.reshape(-1, gradient.shape[-1])
        states = torch.empty_like(rows)
        to_up, to_bias, to_down = torch.zeros_like(up.t()), torch.zeros_like(up_bias), torch.zeros_like(down)
        trains = any(ctx.needs_input_grad[1:])
        hidden_buffer, slope_buffer = _buffer(rows, up), _buffer(rows, up)
        for block, ahead, part in zip(_blocks(rows), _blocks(outer), _blocks(states), strict=True):
            hidden = _hidden(block, up, up_bias, hidden_buffer)
            slope = torch.mm(ahead, down, out=slope_buffer[: len(block)])
            torch.ops.aten.threshold_backward.grad_input(slope, hidden, 0, grad_input=slope)
            torch.mm(slope, up, out=part)
            if trains:
                to_down.addmm_(ahead.t(), hidden)
                to_up.addmm_(block.t(), slope)
                to_bias += slope.sum(0)
        if not trains:
            return states.view(gradient.shape), None, None, None, None
        return states.view(gradient.shape), to_up.t(), to_bias, to_down, outer.sum(0)


def _blocks(matrix: Tensor) -> tuple[Tensor, ...]:
    return row_blocks(matrix, _NARROW_ROWS)


def _buffer(rows: Tensor, up: Tensor) -> Tensor:
    """Room for the hidden layer of the largest block."""
    return rows.new_empty(len(_blocks(rows)[0]), up.shape[0])


def _hidden(block: Tensor, up: Tensor, up_bias: Tensor, buffer: Tensor) -> Tensor:
    """The hidden layer of a block, in ``buffer``."""
    return torch.mm(block, up.t(), out=buffer[: len(block)]).add_(up_bias).relu_()
