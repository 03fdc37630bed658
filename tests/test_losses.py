# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The losses against the formulas of the paper; the golden numbers test them again in tests/networks."""

from __future__ import annotations

import math

import pytest
import torch
from monai.data import MetaTensor
from torch import Tensor

from monai_vlsm.losses import PromptedSegmentationLoss


def dice_term(logits: Tensor, target: Tensor) -> Tensor:
    """1 - (2 * sum(p * y) + 1e-5) / (sum(p) + sum(y) + 1e-5) for each mask, averaged."""
    p, axes = logits.sigmoid(), (-2, -1)
    return (1 - (2 * (p * target).sum(axes) + 1e-5) / (p.sum(axes) + target.sum(axes) + 1e-5)).mean()


def cross_entropy(p: Tensor, target: Tensor) -> Tensor:
    """-y log(p) - (1 - y) log(1 - p), averaged over pixels."""
    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()


@pytest.mark.parametrize("shape", [(2, 1, 5, 5), (2, 3, 4, 4)])  # one and three prompts for each image
def test_formulas(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(shape), (torch.rand(shape) > 0.5).float()
    dice, p = 1.5 * dice_term(logits, target), logits.sigmoid()
    torch.testing.assert_close(PromptedSegmentationLoss("paper")(logits, target), dice + cross_entropy(p, target))
    torch.testing.assert_close(
        PromptedSegmentationLoss("double_sigmoid")(logits, target), dice + cross_entropy(p.sigmoid(), target)
    )
    torch.testing.assert_close(PromptedSegmentationLoss("dice")(logits, target), dice)


def test_double_sigmoid_never_reaches_zero() -> None:
    """Its floor on background is log 2, the reason not to use it."""
    logits, target = torch.full((1, 1, 4, 4), -30.0), torch.zeros(1, 1, 4, 4)
    double = PromptedSegmentationLoss("double_sigmoid")(logits, target)
    dice_only = PromptedSegmentationLoss("dice")(logits, target)
    assert (double - dice_only).item() == pytest.approx(math.log(2), abs=1e-4)


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match=r"'paper', 'double_sigmoid', 'dice', got 'focal'"):
        PromptedSegmentationLoss("focal")


@pytest.mark.parametrize("kind", ["paper", "double_sigmoid", "dice"])
def test_masks_of_no_prompt_do_not_count(kind: str) -> None:
    """Whatever the logits there are, the loss is the mean over the pairs, and they get no gradient."""
    loss = PromptedSegmentationLoss(kind)
    logits, target = torch.randn(2, 3, 4, 4, dtype=torch.float64), (torch.rand(2, 3, 4, 4) > 0.5).double()
    pairs = [(0, 0), (1, 0), (1, 1), (1, 2)]
    alone = torch.stack([loss(logits[i : i + 1, k : k + 1], target[i : i + 1, k : k + 1]) for i, k in pairs]).mean()
    logits[0, 1], logits[0, 2], target[0, 1:] = math.nan, math.inf, -1
    padded = MetaTensor(logits.requires_grad_())
    found = loss(padded, MetaTensor(target))
    torch.testing.assert_close(found, alone, atol=1e-12, rtol=1e-12)
    (slopes,) = torch.autograd.grad(found, logits)
    assert not slopes[0, 1:].any()
    assert all(slopes[pair].any() for pair in pairs)
