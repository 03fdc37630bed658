# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Learning rate by the validation loss."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine
from monai.engines import Workflow
from monai.handlers import LrScheduleHandler

from monai_vlsm.handlers.engine_state import validated_in

__all__ = ["PlateauSchedule"]


class PlateauSchedule(LrScheduleHandler):
    """Steps a ``ReduceLROnPlateau`` with a metric of the evaluator, after each validation and only then.

    With MONAI's handler alone, epochs without a validation would count as epochs without improvement, and a run
    without validation data would fail. Attach to the *trainer*, after ``ValidationHandler``.

    Args:
        lr_scheduler: a ``torch.optim.lr_scheduler.ReduceLROnPlateau``.
        evaluator: the validating engine; None takes that of a :class:`HandlerList`.
        metric: name of its metric.
    """

    def __init__(self, lr_scheduler: Any, evaluator: Workflow | None = None, metric: str = "val_loss") -> None:
        super().__init__(lr_scheduler, print_lr=False, step_transform=self._value)
        self.evaluator = evaluator
        self.metric = metric

    def __call__(self, engine: Engine) -> None:
        """Step if this epoch was validated."""
        if validated_in(self.evaluator, engine.state.epoch):
            super().__call__(engine)

    def _value(self, _: Engine) -> Any:
        return self.evaluator.state.metrics[self.metric] if self.evaluator else None
