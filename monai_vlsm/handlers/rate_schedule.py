# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Learning rate by the validation loss, or down a cosine."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.engines import Workflow
from monai.handlers import LrScheduleHandler
from monai.optimizers import WarmupCosineSchedule
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from monai_vlsm.handlers.engine_state import validated_in

__all__ = ["RateSchedule", "rate_schedule"]

KINDS = ("plateau", "cosine")


class RateSchedule(LrScheduleHandler):
    """Steps a ``ReduceLROnPlateau`` with a metric of the evaluator after each validation, others after each iteration.

    With MONAI's handler alone, epochs without a validation would count as epochs without improvement, and a run
    without validation data would fail. Attach to the *trainer*, after ``ValidationHandler``.

    Args:
        lr_scheduler: a learning rate schedule of ``torch.optim.lr_scheduler`` or ``monai.optimizers``.
        evaluator: the validating engine; None takes that of a :class:`HandlerList`.
        metric: name of its metric.
    """

    def __init__(self, lr_scheduler: Any, evaluator: Workflow | None = None, metric: str = "val_loss") -> None:
        self.by_metric = isinstance(lr_scheduler, ReduceLROnPlateau) or not isinstance(lr_scheduler, LRScheduler)
        super().__init__(lr_scheduler, print_lr=False, epoch_level=self.by_metric, step_transform=self._value)
        self.evaluator = evaluator
        self.metric = metric

    def __call__(self, engine: Engine) -> None:
        """Step, if this epoch was validated where a metric decides."""
        if not self.by_metric or validated_in(self.evaluator, engine.state.epoch):
            super().__call__(engine)

    def _value(self, _: Engine) -> Any:
        return self.evaluator.state.metrics[self.metric] if self.by_metric and self.evaluator else ()


def rate_schedule(optimizer: Optimizer, kind: str, steps: int, warmup: float = 0.05) -> LRScheduler:
    """A learning rate schedule for `RateSchedule`.

    Args:
        optimizer: whose learning rates it sets.
        kind: ``"plateau"``, the paper's: 0.3 of the rate after 5 validations without a better one. ``"cosine"``,
            MONAI's ``WarmupCosineSchedule``: up in a straight line, down to 0 along half a cosine, over all steps. A
            run of other length is another schedule, and cannot go on from this one.
        steps: iterations of the whole training.
        warmup: share of them in which the rate rises.

    Raises:
        ValueError: an unknown kind, no steps, or a warm-up outside 0 to 1.
    """
    if kind not in KINDS or steps < 1 or not 0 <= warmup <= 1:
        raise ValueError(
            f"expected kind {' or '.join(KINDS)}, at least one step and a warm-up from 0 to 1, got {kind!r}, {steps} "
            f"and {warmup}"
        )
    if kind == "plateau":
        return ReduceLROnPlateau(optimizer, factor=0.3, patience=5)
    rise = round(warmup * steps)
    # the first step is not one of nothing
    return WarmupCosineSchedule(optimizer, rise, steps, warmup_multiplier=1 / max(rise, 1))
