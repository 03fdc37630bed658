# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The attention between image and text, number by number."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from monai_vlsm.adapters import GatedCrossAttention, Noise

WIDTH = 6


@pytest.fixture(params=[True, False], ids=["variational", "plain"])
def attention(request: pytest.FixtureRequest) -> GatedCrossAttention:
    torch.manual_seed(0)
    made = GatedCrossAttention(WIDTH, request.param).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    return made


def one_token(attention: GatedCrossAttention, own: Tensor, other: Tensor) -> Tensor:
    """What becomes of one token ``(C,)`` that looks at M, ``(M, C)``, in numbers."""
    query = attention.query(own)
    keys = layer_norm(attention.key(other), (WIDTH,), attention.norm_key.weight, attention.norm_key.bias)
    values = layer_norm(attention.value(other), (WIDTH,), attention.norm_value.weight, attention.norm_value.bias)
    scores = []
    for index, key in enumerate(keys):
        score = sum(float(q * k) for q, k in zip(query, key, strict=True)) / math.sqrt(WIDTH)
        if attention.key_variance is not None:
            raw = linear(other[index], attention.key_variance.weight, attention.key_variance.bias)
            spread = sum(float(q**2 * (math.log1p(math.exp(r)) + 1e-6)) for q, r in zip(query, raw, strict=True))
            score -= 2.35 * math.sqrt(spread / WIDTH)
        scores.append(score)
    weights = torch.tensor(scores, dtype=torch.float64).exp()
    gate = 1 / (1 + math.exp(-float(attention.gate)))
    return gate * attention.out((weights / weights.sum()) @ values) + (1 - gate) * own


def test_against_numbers(attention: GatedCrossAttention) -> None:
    own, other = torch.randn(2, 3, WIDTH).double(), torch.randn(2, 4, WIDTH).double()
    found = attention(own, other)
    for row in range(2):
        for token in range(3):
            torch.testing.assert_close(found[row, token], one_token(attention, own[row, token], other[row]))


def test_hidden_tokens_are_as_if_they_were_not_there(attention: GatedCrossAttention) -> None:
    own, other = torch.randn(2, 3, WIDTH).double(), torch.randn(2, 4, WIDTH).double()
    counts = torch.tensor([[True] * 2 + [False] * 2, [True] * 4])
    found = attention(own, other, counts)
    torch.testing.assert_close(found[:1], attention(own[:1], other[:1, :2]))
    torch.testing.assert_close(found[1:], attention(own[1:], other[1:]))


def test_the_gate_begins_half_open() -> None:
    assert GatedCrossAttention(WIDTH, True).gate == 0


def test_parameters_of_both_kinds() -> None:
    counts = [sum(one.numel() for one in GatedCrossAttention(64, kind).parameters()) for kind in (True, False)]
    assert counts == [25_217, 25_217 - 2 * 64 * 65]


def test_noise() -> None:
    torch.manual_seed(0)
    noise, mean, variance = Noise(), torch.full((20_000,), 3.0), torch.full((20_000,), 4.0)
    drawn = noise(mean, variance)
    assert abs(float(drawn.mean()) - 3) < 0.1 and abs(float(drawn.std()) - 2) < 0.1
    assert torch.equal(noise.eval()(mean, variance), mean)


def test_a_query_of_zero_has_a_gradient_that_is_a_number() -> None:
    attention = GatedCrossAttention(WIDTH, True)
    with torch.no_grad():
        attention.query.weight.zero_()
        attention.query.bias.zero_()
    attention(torch.randn(1, 2, WIDTH), torch.randn(1, 3, WIDTH)).square().sum().backward()
    assert all(one.grad is not None and one.grad.isfinite().all() for one in attention.parameters())
