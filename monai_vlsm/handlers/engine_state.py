# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What several handlers ask of a MONAI engine: was it validated, is it the best epoch, which images are these."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.data import MetaTensor
from monai.engines import Workflow

from monai_vlsm.handlers.deferred import DeferredReads

__all__ = [
    "EpochLoss",
    "batch_names",
    "is_best_epoch",
    "mean_loss",
    "own_loss",
    "per_structure",
    "scalar_metrics",
    "validated_in",
]


def validated_in(evaluator: Workflow | None, epoch: int) -> bool:
    """Whether ``evaluator`` ran in this ``epoch`` of the training (``ValidationHandler`` hands it the epoch)."""
    return evaluator is not None and evaluator.state.epoch == epoch and bool(evaluator.state.metrics)


def scalar_metrics(evaluator: Workflow) -> dict[str, float]:
    """The metrics of the evaluator's last run that are single numbers, by name."""
    return {name: float(value) for name, value in evaluator.state.metrics.items() if isinstance(value, (int, float))}


def is_best_epoch(evaluator: Workflow) -> bool:
    """Whether the epoch that ``evaluator`` has just scored is the best so far by its key metric.

    MONAI keeps the best value in ``evaluator.state.best_metric`` before any handler of EPOCH_COMPLETED runs. Without
    a key metric every epoch counts as best. NaN never does: MONAI takes a NaN of the first validation for the best
    value and then nothing compares greater, so it is forgotten here.
    """
    state = evaluator.state
    if state.key_metric_name is None:
        return True
    if state.best_metric_epoch != state.epoch:
        return False
    if not math.isfinite(state.metrics[state.key_metric_name]):
        state.best_metric, state.best_metric_epoch = -1, -1
        return False
    return True


def per_structure(keys: Sequence[str]) -> Callable[[list[dict[str, torch.Tensor]]], tuple[list[torch.Tensor], ...]]:
    """An ``output_transform`` for ``IgniteMetricHandler`` that makes one item of each structure.

    MONAI's metrics join the scores of all images into one tensor, which fails when images differ in their number of
    structures K. With this, each (K, H, W) becomes K items of (1, H, W); means are then over structures.

    Args:
        keys: what to take of each item of the engine's output, for example ``["pred", "label"]``.
    """

    def split(output: list[dict[str, torch.Tensor]]) -> tuple[list[torch.Tensor], ...]:
        return tuple([mask[None] for item in output for mask in _plain(item[key])] for key in keys)

    return split


def _plain(masks: Any) -> Any:
    return masks.as_tensor() if isinstance(masks, MetaTensor) else masks  # each operation on meta takes time


def batch_names(batch: Any) -> list[str]:
    """Names of the images of a batch, for messages and file names.

    Args:
        batch: a collated dict or the decollated list of dicts of an engine; the name is the entry ``name``, else the
            ``filename_or_obj`` of the image's meta data.
    """
    if isinstance(batch, (list, tuple)):
        return [name for item in batch for name in batch_names(item)]
    if not isinstance(batch, Mapping):
        return []
    names = batch.get("name")
    if names is None:
        names = getattr(batch.get("image"), "meta", {}).get("filename_or_obj", [])
    return [str(name) for name in ([names] if isinstance(names, str) else names)]


def own_loss(output: Any) -> torch.Tensor:
    """The loss of a training iteration where it was computed, of this process alone.

    Args:
        output: of a trainer, with ``loss``; taken apart into images or not.
    """
    first = output[0] if isinstance(output, list) else output
    return torch.as_tensor(first["loss"]).detach()


def mean_loss(output: Any) -> torch.Tensor:
    """The loss of a training iteration where it was computed, mean over all processes, all of which must ask.

    Args:
        output: of a trainer, with ``loss``.
    """
    loss = own_loss(output)
    if idist.get_world_size() == 1:
        return loss
    total: torch.Tensor = idist.all_reduce(loss.clone())  # type: ignore[assignment]
    return total / idist.get_world_size()


class EpochLoss:
    """Mean training loss over the iterations of the current epoch, in ``mean`` (NaN before the first one).

    When the epoch ends it becomes the mean over all processes; until then it is that of this one, over what has been
    read of a GPU (`DeferredReads`).
    """

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    @property
    def mean(self) -> float:
        """Mean of the losses seen in this epoch."""
        return self._sum / self._count if self._count else math.nan

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a trainer whose output holds ``loss``, on all processes."""
        DeferredReads.of(engine)  # first, so that `_join` finds the whole epoch
        engine.add_event_handler(Events.EPOCH_STARTED, self._reset)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._join)

    def _reset(self, engine: Workflow) -> None:
        self._sum, self._count = 0.0, 0

    def _add(self, engine: Workflow) -> None:
        output = engine.state.output
        if isinstance(output, list):
            output = output[0]
        if isinstance(output, Mapping) and "loss" in output:
            DeferredReads.of(engine).add(torch.as_tensor(output["loss"]), self._take)

    def _take(self, value: float) -> None:
        self._sum += value
        self._count += 1

    def _join(self, engine: Workflow) -> None:
        if idist.get_world_size() > 1:
            self._sum = float(idist.all_reduce(self._sum))
            self._count = round(float(idist.all_reduce(float(self._count))))
