# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Self-attention whose projections are frozen: forward and backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from monai_vlsm.kernels.rows import product_by_rows

__all__ = ["FrozenAttention"]


class FrozenAttention(torch.autograd.Function):
    """Queries, keys and values in one product, softmax, weighted sum; gradients for the states only.

    The probabilities are kept for the backward pass, 2 H N^2 bytes for each image in bfloat16; torch's attention for
    CPUs computes them again there. The softmax calculates in float32 whatever the type of its input.
    """

    @staticmethod
    @torch.autocast("cpu", enabled=False)
    def forward(ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, heads: int, causal: bool) -> Tensor:
        """Attention without the output projection.

        Args:
            ctx: where autograd keeps what the backward pass needs.
            states: ``(B, N, C)``.
            weight: projections to queries, keys and values, ``(3C, C)``; the queries already scaled by
                ``(C / heads) ** -0.5``.
            bias: ``(3C,)``, the queries' part scaled too.
            heads: number of heads H.
            causal: True lets each position see itself and those before it only.

        Returns:
            ``(B, N, C)``.
        """
        batch, length, width = states.shape
        projected = torch.nn.functional.linear(states.reshape(-1, width), weight, bias)
        split = projected.view(batch, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = split.reshape(3, batch * heads, length, -1).unbind(0)
        scores = torch.bmm(query, key.transpose(1, 2))
        if causal:
            scores.masked_fill_(torch.ones(length, length, dtype=torch.bool).triu(1), -torch.inf)
        probabilities = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(weight, query, key, value, probabilities)
        ctx.heads = heads
        return _merge_heads(torch.bmm(probabilities, value), heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Gradient for the states ``(B, N, C)``."""
        weight, query, key, value, probabilities = ctx.saved_tensors
        batch, length, width = gradient.shape
        heads: int = ctx.heads
        outer = gradient.view(batch, length, heads, -1).transpose(1, 2).reshape(query.shape)
        inner = torch.bmm(outer, value.transpose(1, 2))
        inner = torch._softmax_backward_data(inner, probabilities, -1, inner.dtype)
        projected = gradient.new_empty(batch, length, 3, heads, width // heads)
        for index, part in enumerate(
            (
                torch.bmm(inner, key),
                torch.bmm(inner.transpose(1, 2), query),
                torch.bmm(probabilities.transpose(1, 2), outer),
            )
        ):
            projected[:, :, index] = part.view(batch, heads, length, -1).transpose(1, 2)
        states = product_by_rows(projected.view(-1, 3 * width), weight)
        return states.view(batch, length, width), None, None, None, None


def _merge_heads(parts: Tensor, heads: int) -> Tensor:
    """``(B*H, N, C/H)`` to ``(B, N, C)``."""
    batch, length = parts.shape[0] // heads, parts.shape[1]
    return parts.view(batch, heads, length, -1).transpose(1, 2).reshape(batch, length, -1)
