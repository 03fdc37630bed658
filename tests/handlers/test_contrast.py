# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The contrastive term: its value, which pairs count, and that only training has it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from monai_vlsm.handlers import ContrastError, ContrastiveTerm, HandlerList
from monai_vlsm.handlers.contrast import present_rows
from monai_vlsm.losses import PromptedSegmentationLoss, SoftContrastiveLoss


def by_hand(images: Tensor, prompts: Tensor) -> float:
    """The formula, one number after the other."""
    rows = [torch.stack([row / row.norm() for row in one]) for one in (images, prompts)]
    total, count = 0.0, len(images)
    for one in range(count):
        soft = torch.exp(rows[1][one] @ rows[1].T / 0.2)
        target = soft / soft.sum()
        for first, second in (rows, rows[::-1]):
            logits = torch.exp(first[one] @ second.T / 0.07)
            total -= float((target * torch.log(logits / logits.sum())).sum()) / (2 * count)
    return total


def test_the_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    images, prompts = (torch.randn(5, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    assert float(SoftContrastiveLoss()(images, prompts)) == pytest.approx(by_hand(images, prompts), rel=1e-5)
    assert float(SoftContrastiveLoss()(images[:0], prompts[:0])) == 0
    assert float(SoftContrastiveLoss()(images[:1], prompts[:1])) == 0


def test_pairs_that_belong_together_have_the_lower_loss() -> None:
    prompts = torch.eye(4)
    loss = SoftContrastiveLoss()
    assert loss(prompts, prompts) < loss(prompts.roll(1, 0), prompts)
    alike = torch.ones(4, 4) + 0.01 * torch.eye(4)
    assert float(loss(alike, alike)) == pytest.approx(torch.tensor(4.0).log().item(), rel=1e-3)


def test_absent_prompts_and_those_that_fill_up_do_not_count() -> None:
    label = torch.zeros(2, 3, 4, 4)
    label[0, 0, 1, 1] = label[1, 1, 2, 2] = 1
    label[1, 2] = -1
    asked = torch.tensor([[True] * 3, [True, True, False]])
    assert present_rows(label, asked).tolist() == [True, False, False, False, True]
    assert present_rows(label[:1], None).tolist() == [True, False, False]


def test_rows_that_are_left_out_are_as_if_they_were_not_there() -> None:
    generator = torch.Generator().manual_seed(0)
    images, prompts = (torch.randn(6, 8, generator=generator).requires_grad_() for _ in range(2))
    present, loss = torch.tensor([True, False, True, True, False, True]), SoftContrastiveLoss()
    found, alone = loss(images, prompts, present), loss(images[present], prompts[present])
    torch.testing.assert_close(found, alone)
    slopes = [torch.autograd.grad(one, [images, prompts]) for one in (found, alone)]
    torch.testing.assert_close(slopes[0], slopes[1])
    assert loss(images, prompts, torch.zeros(6, dtype=torch.bool)).item() == 0


class Net(nn.Module):
    """Two weights; the prompt is a number."""

    def __init__(self) -> None:
        super().__init__()
        self.visual, self.text = (nn.Parameter(torch.tensor([1.0, 0.5])) for _ in range(2))
        self.watch: Any = None

    def forward(self, image: Tensor) -> Tensor:
        features = image.mean((1, 2, 3))[:, None] * self.visual
        prompts = torch.stack([self.text, self.text.flip(0)])
        if self.watch is not None:
            self.watch(features, prompts)
        return (features * prompts).sum(-1)[:, None, None, None].expand(-1, 1, 4, 4)

    def shared_embeddings(self, images: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
        return images, prompts


def losses(weight: float) -> tuple[float, Net]:
    net, seen = Net(), []
    batch = {
        "image": torch.tensor([1.0, -2.0])[:, None, None, None].expand(2, 3, 4, 4),
        "label": torch.ones(2, 1, 4, 4),
    }
    term = ContrastiveTerm(net, SoftContrastiveLoss(), weight)
    note = SimpleNamespace(attach=lambda engine: engine.add_event_handler(Events.ITERATION_COMPLETED, keep))

    def keep(engine: Any) -> None:
        seen.append(float(engine.state.output["loss"]))

    SupervisedTrainer(
        torch.device("cpu"),
        1,
        [batch],
        net,
        torch.optim.SGD(net.parameters(), lr=0.0),
        PromptedSegmentationLoss(),
        inferer=SimpleInferer(),
        train_handlers=[HandlerList([term, note])],
        decollate=False,
    ).run()
    assert net.watch is None
    return seen[0], net


def test_the_term_is_added_with_its_weight_and_has_gradients() -> None:
    (plain, _), (more, net) = losses(0.0), losses(0.5)
    images = torch.tensor([[1.0], [-2.0]]) * torch.tensor([1.0, 0.5])
    prompts = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
    assert more - plain == pytest.approx(0.5 * by_hand(images, prompts), rel=1e-4)
    assert net.visual.grad is not None
    assert net.text.grad is not None


def test_networks_without_a_common_space() -> None:
    with pytest.raises(ContrastError, match=r"contrastive 0\.1 needs a network on CLIPSeg, and Linear .* to 0"):
        ContrastiveTerm(nn.Linear(1, 1), SoftContrastiveLoss(), 0.1)
    ContrastiveTerm(nn.Linear(1, 1), SoftContrastiveLoss(), 0.0)
