# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Attention from one sequence to another, with keys and values that may be distributions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

__all__ = ["GatedCrossAttention", "Noise"]

DOUBT = 2.35  # how much the score of an uncertain key is lowered (beta)
LEAST_VARIANCE = 1e-6


class Noise(nn.Module):
    """Draws from a normal distribution in training mode, and takes its mean in evaluation mode.

    Draws again in evaluation mode within `monai_vlsm.networks.sampling`.
    """

    def forward(self, mean: Tensor, variance: Tensor) -> Tensor:
        """``mean + sqrt(variance) * N(0, 1)``, all of one shape."""
        return mean + variance.sqrt() * torch.randn_like(mean) if self.training else mean


class GatedCrossAttention(nn.Module):
    """One head: ``g * out(softmax(score) value) + (1 - g) * own``, ``g = sigmoid(gate)``, the gate begins at 0.

    ``score = query key / sqrt(C)``, keys and values pass a LayerNorm. With ``variational`` both have a variance too,
    ``softplus(linear(other)) + 1e-6``: an uncertain key is attended to less,
    ``score - 2.35 * sqrt(query^2 key_variance / C)``, and values are drawn (`Noise`). The bias of the LayerNorm of keys
    cannot matter: attention is the same when all keys move by one vector.

    Args:
        width: C, of both sequences.
        variational: whether keys and values are distributions.
    """

    def __init__(self, width: int, variational: bool) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm_key, self.norm_value = nn.LayerNorm(width), nn.LayerNorm(width)
        self.key_variance = nn.Linear(width, width) if variational else None
        self.value_variance = nn.Linear(width, width) if variational else None
        self.noise = Noise() if variational else None
        self.gate = nn.Parameter(torch.tensor(0.0))

    def forward(self, own: Tensor, other: Tensor, counts: Tensor | None = None) -> Tensor:
        """Let each token of one sequence look at another sequence.

        Args:
            own: ``(B, N, C)``.
            other: ``(B, M, C)``.
            counts: which tokens of ``other`` count, ``(B, M)`` bool; None for all.

        Returns:
            ``(B, N, C)``.
        """
        scores = self._scores(self.query(own), other)
        if counts is not None:
            scores = scores.masked_fill(~counts.unsqueeze(1), -torch.inf)
        attended = self.out(scores.softmax(dim=-1) @ self._values(other))
        gate = torch.sigmoid(self.gate)
        return gate * attended + (1 - gate) * own

    def _scores(self, query: Tensor, other: Tensor) -> Tensor:
        width = query.shape[-1]
        scores = query @ self.norm_key(self.key(other)).transpose(-2, -1) / math.sqrt(width)
        if self.key_variance is None:
            return scores
        variance = query.square() @ _positive(self.key_variance(other)).transpose(-2, -1) / width
        return scores - DOUBT * variance.clamp_min(LEAST_VARIANCE).sqrt()  # the root has no slope at zero

    def _values(self, other: Tensor) -> Tensor:
        values: Tensor = self.norm_value(self.value(other))
        if self.value_variance is None or self.noise is None:
            return values
        drawn: Tensor = self.noise(values, _positive(self.value_variance(other)))
        return drawn


def _positive(values: Tensor) -> Tensor:
    return softplus(values) + LEAST_VARIANCE
