# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The loss of the paper, the two that its code computed instead, any of them over several processes, and a contrast."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from monai.losses import DiceCELoss, DiceLoss
from monai.utils import convert_to_tensor
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

__all__ = ["PromptedSegmentationLoss", "RankMeanLoss", "SoftContrastiveLoss"]

_KINDS = ("paper", "double_sigmoid", "dice")
_NEVER = 1e4


class PromptedSegmentationLoss(nn.Module):
    """``1.5 * Dice + 1.0 * BCE`` on logits: equation 2 of VLSM-Adapter (Dhakal et al., MICCAI 2024).

    Dice is taken per image and mask and averaged (MONAI's ``DiceCELoss`` with ``batch=False``). Masks of -1 belong to
    no prompt (`monai_vlsm.data.collate_prompts`) and do not count: it is the mean over the pairs of image and prompt.

    Args:
        kind: ``"paper"`` is the equation. For comparison with published numbers there are two more:
            ``"double_sigmoid"`` is what the authors' code computes with MONAI 1.3.2, cross entropy on probabilities
            that are taken for logits, and ``"dice"`` what it computes with MONAI 1.1.0, where the cross entropy of
            one channel is zero.

    Raises:
        ValueError: when ``kind`` is unknown.
    """

    def __init__(self, kind: str = "paper") -> None:
        super().__init__()
        if kind not in _KINDS:
            raise ValueError(f"loss must be one of {', '.join(map(repr, _KINDS))}, got {kind!r}")
        self.kind = kind
        self.dice = DiceLoss(sigmoid=True, reduction="none")
        self.dice_ce = DiceCELoss(sigmoid=True, lambda_dice=1.5, lambda_ce=1.0)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: ``(B, K, H, W)``.
            target: masks of the same shape, 0 or 1; or -1 throughout, where an image has fewer than K prompts.

        Returns:
            A scalar.
        """
        # K prompts of an image are K separate masks, not classes that exclude each other
        several = target.shape[1] > 1
        plain = (convert_to_tensor(one, track_meta=False) for one in (logits, target))
        logits, target = (one.flatten(0, 1).unsqueeze(1) for one in plain)
        if several:
            return self._of_asked(logits, target)
        return self.dice_ce(logits, target) if self.kind == "paper" else self._each(logits, target).mean()

    def _of_asked(self, logits: Tensor, target: Tensor) -> Tensor:
        """The mean over the pairs; to take them out of the batch, a GPU would have to say how many there are."""
        asked = (target.flatten(1)[:, 0] >= 0).view(-1, 1, 1, 1)
        each = self._each(*(torch.where(asked, one, 0) for one in (logits, target)))
        return (each * asked.flatten()).sum() / asked.sum()

    def _each(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each pair, ``(N,)``, from ``(N, 1, H, W)``."""
        loss = 1.5 * self.dice(logits, target).flatten()
        if self.kind == "dice":
            return loss
        given = logits if self.kind == "paper" else logits.sigmoid()
        return loss + binary_cross_entropy_with_logits(given, target, reduction="none").flatten(1).mean(1)


class RankMeanLoss(nn.Module):
    """A loss whose mean over several processes is that over all pairs of image and prompt in their batches.

    DistributedDataParallel averages gradients over processes, so pairs in a short batch would count more than others.
    Here each process weighs its loss by its pairs, whose total all of them must ask for: in each training step, and
    nowhere else. Of one process it is the loss itself.

    Args:
        single: that of one process, such as `PromptedSegmentationLoss`: a mean over the pairs; masks of -1 belong to
            no prompt.
        sampler: tells with ``take`` which records at the end of an epoch are repeated ones, which do not count
            (`monai_vlsm.data.TrainingShare`); None counts all.
    """

    def __init__(self, single: nn.Module, sampler: Any = None) -> None:
        super().__init__()
        self.single, self.sampler = single, sampler

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Compute the loss.

        Args:
            logits: ``(B, K, H, W)``.
            target: masks of the same shape.

        Returns:
            A scalar.
        """
        if not dist.is_initialized():
            loss: Tensor = self.single(logits, target)
            return loss
        logits, target = (convert_to_tensor(one, track_meta=False) for one in (logits, target))
        own = len(target) if self.sampler is None else self.sampler.take(len(target))
        pairs = _pairs(target[:own])
        total = pairs.clone()
        dist.all_reduce(total)
        # without a record of its own a process still takes part in the backward pass
        mean = self.single(logits[:own], target[:own]) if own else (logits * 0).sum()
        return mean * (pairs * dist.get_world_size() / total)


def _pairs(target: Tensor) -> Tensor:
    """How many masks of a batch belong to a prompt, as a float32 scalar where the masks are."""
    if target.shape[1] > 1:
        return (target.flatten(2)[..., 0] >= 0).sum().float()
    return torch.full((), float(len(target)), device=target.device)


class SoftContrastiveLoss(nn.Module):
    """SoftCon of MedCLIPSeg (arXiv 2602.20423): each image finds its prompt in the batch, and each prompt its image.

    With rows of length 1, ``V`` of the images and ``T`` of the prompts: the cross entropy of ``softmax(V T' / t)`` and
    of ``softmax(T V' / t)`` with ``softmax(T T' / s)``, half of each. Prompts that say nearly the same are not told
    apart, as they would be by a target of 1 for the own prompt and 0 for all others.

    Args:
        temperature: t, that of CLIP at the start of its training.
        softness: s, the temperature of the targets.
    """

    def __init__(self, temperature: float = 0.07, softness: float = 0.2) -> None:
        super().__init__()
        self.temperature, self.softness = temperature, softness

    def forward(self, images: Tensor, prompts: Tensor, present: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            images: ``(N, D)``.
            prompts: ``(N, D)``; row n belongs to image n.
            present: which of the rows count, bool ``(N,)``, where they are; None counts all.

        Returns:
            A scalar; 0 without any rows.
        """
        if not len(images):
            return images.sum() + prompts.sum()
        counted = torch.ones(len(images), device=images.device) if present is None else present.float()
        with torch.autocast(images.device.type, enabled=False):
            visual, text = normalize(images.float(), dim=-1), normalize(prompts.float(), dim=-1)
            left_out = (counted - 1) * _NEVER  # added to a logit: a probability of 0
            targets = (text @ text.T / self.softness + left_out).softmax(-1).detach()
            logits = visual @ text.T / self.temperature
            each = [cross_entropy(one + left_out, targets, reduction="none") for one in (logits, logits.T)]
            return (each[0] + each[1]) @ counted / (2 * counted.sum().clamp_min(1))
