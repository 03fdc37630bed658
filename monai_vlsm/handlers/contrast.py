# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A further term of the loss, from what image and prompts became on their way to the decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import IterationEvents, SupervisedTrainer
from monai.utils import convert_to_tensor
from torch import Tensor, nn

from monai_vlsm.data import TOKEN_KEYS
from monai_vlsm.errors import UserError
from monai_vlsm.host import send
from monai_vlsm.inferers import asked_prompts

__all__ = ["ContrastError", "ContrastiveTerm"]


class ContrastError(UserError, ValueError):
    """A network whose images and prompts cannot be compared."""


class ContrastiveTerm:
    """Adds ``weight`` times a loss between images and prompts to the loss of each training step.

    Only prompts whose mask is not empty take part: an image must not be drawn to the prompt of what it lacks. The
    validation loss stays as it is. Attach to the trainer, before :class:`NaNGuard`.

    Args:
        network: with ``shared_embeddings`` (`monai_vlsm.networks.CLIPSegNet`), or its DistributedDataParallel wrapper.
        loss: of images and prompts ``(N, D)`` each, which belong together row by row, and which of the rows count,
            bool ``(N,)``, such as `monai_vlsm.losses.SoftContrastiveLoss`.
        weight: 0 adds nothing.

    Raises:
        ContrastError: a network that has no space that images and prompts share, unless the weight is 0.
    """

    def __init__(self, network: nn.Module, loss: Callable[[Tensor, Tensor, Tensor], Tensor], weight: float) -> None:
        self.network: Any = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
        self.loss, self.weight = loss, weight
        if weight and not hasattr(self.network, "shared_embeddings"):
            raise ContrastError(
                f"contrastive {weight:g} needs a network on CLIPSeg, and {type(self.network).__name__} has no space "
                "that images and prompts share; set contrastive to 0"
            )
        self._seen: list[tuple[Any, Any]] = []

    def attach(self, engine: SupervisedTrainer) -> None:
        """Follow ``engine``, the trainer."""
        if self.weight:
            engine.add_event_handler(Events.ITERATION_STARTED, self._watch)
            engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self._add)

    def _watch(self, engine: SupervisedTrainer) -> None:
        self._seen = []
        self.network.watch = lambda *features: self._seen.append(features)

    def _add(self, engine: SupervisedTrainer) -> None:
        self.network.watch = None
        (features,) = self._seen
        self._seen = []
        images, prompts = self.network.shared_embeddings(*features)
        label, batch = engine.state.output["label"], engine.state.batch
        asked = asked_prompts({key: batch[key] for key in TOKEN_KEYS if key in batch}, len(label))
        images = images.repeat_interleave(len(prompts) // len(images), dim=0)
        term = self.loss(images, prompts, present_rows(label, asked))
        engine.state.output["loss"] = engine.state.output["loss"] + self.weight * term


def present_rows(label: Tensor, asked: Tensor | None) -> Tensor:
    """Which of the prompts of a batch have something in their mask, ``(R,)``; what fills up a batch is left out.

    Args:
        label: ``(B, K, H, W)`` of 0 and 1, or -1 throughout where an image has fewer than K prompts.
        asked: which of the masks belong to a prompt, bool ``(B, K)`` on the CPU; None: all.
    """
    masks = convert_to_tensor(label, track_meta=False).flatten(0, 1).flatten(1)
    if asked is not None:
        masks = masks.index_select(0, send(asked.flatten().nonzero()[:, 0], masks.device))
    return torch.as_tensor(masks.amax(1) > 0)
