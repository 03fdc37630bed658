# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The losses against the formulas of the paper; the golden numbers test them again in tests/networks."""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from monai.data import MetaTensor
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from monai_vlsm.losses import PromptedSegmentationLoss, RankMeanLoss


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


def _weigh(rank: int, folder: Path, sizes: list[int], prompts: int) -> None:
    """One step of a linear model; each process has its part of the batch, padded with one more record."""
    torch.set_num_threads(1)  # a fork has no threads of OpenMP, and would wait for them
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(sizes))
    weight, (images, target) = torch.nn.Parameter(torch.ones(4, 4)), _batch(sum(sizes), prompts)
    model = DistributedDataParallel(_Scaled(weight))
    start = sum(sizes[:rank])
    own = [*range(start, start + sizes[rank]), 0]
    sampler = SimpleNamespace(take=lambda count: min(count, sizes[rank]))
    loss = RankMeanLoss(PromptedSegmentationLoss(), sampler)(model(images[own]), target[own])
    loss.backward()
    torch.save([loss.detach(), weight.grad], folder / f"{rank}.pt")
    dist.destroy_process_group()
    os._exit(0)  # taking apart what a fork shares with its parent may never end


class _Scaled(torch.nn.Module):
    def __init__(self, weight: torch.nn.Parameter) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, images: Tensor) -> Tensor:
        return images * self.weight


def _batch(count: int, prompts: int) -> tuple[Tensor, Tensor]:
    """Images with one prompt less each, down to one."""
    torch.manual_seed(0)
    images, target = torch.randn(count, prompts, 4, 4), (torch.rand(count, prompts, 4, 4) > 0.5).float()
    for index in range(count):
        target[index, max(1, prompts - index) :] = -1
    return images, target


@pytest.mark.parametrize(("sizes", "prompts"), [([2, 1], 1), ([2, 0], 1), ([1, 3], 3), ([2, 0], 2)])
def test_processes_together_have_the_loss_of_one(sizes: list[int], prompts: int, tmp_path: Path) -> None:
    """The mean of their losses, and the gradients that they share, whoever has how many pairs."""
    torch.multiprocessing.start_processes(
        _weigh, args=(tmp_path, sizes, prompts), nprocs=len(sizes), start_method="fork"
    )
    weight, (images, target) = torch.nn.Parameter(torch.ones(4, 4)), _batch(sum(sizes), prompts)
    expected = RankMeanLoss(PromptedSegmentationLoss())(images * weight, target)
    expected.backward()
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(len(sizes))]
    assert torch.stack([loss for loss, _ in found]).mean() == pytest.approx(expected.item(), abs=1e-6)
    for _, gradient in found:
        torch.testing.assert_close(gradient, weight.grad)
