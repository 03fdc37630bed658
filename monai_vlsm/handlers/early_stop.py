# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Early stopping that needs no trainer in its arguments."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine
from monai.engines import Workflow
from monai.handlers import EarlyStopHandler

from monai_vlsm.handlers.engine_state import validated_in

__all__ = ["EarlyStop"]


class EarlyStop(EarlyStopHandler):
    """Stops the trainer it is attached to when the validation has not improved for ``patience`` validations.

    MONAI's ``EarlyStopHandler`` must be told its trainer, which in a bundle is a circular reference, so bundles set it
    in ``run`` and then fail where another program (federated learning, MONAI Label) starts the trainer. This one takes
    the engine it is attached to. Attach to the *trainer*, after ``ValidationHandler``. Epochs without a validation
    do not count, and neither does NaN as an improvement.

    Args:
        evaluator: the validating engine; None takes that of a :class:`HandlerList`.
        metric: name of its metric to watch; higher is better.
        patience: number of validations without improvement after which training stops; None, 0 and less never stop,
            and still count, for a run that is prolonged with some.
        min_delta: the least increase that counts as an improvement.

    Raises:
        KeyError: at the first validation, when the evaluator has no such metric.
    """

    def __init__(
        self,
        evaluator: Workflow | None = None,
        metric: str = "val_dice",
        patience: int | None = 20,
        min_delta: float = 1e-4,
    ) -> None:
        limit = patience if patience is not None and patience > 0 else sys.maxsize
        super().__init__(patience=limit, score_function=self._score, min_delta=min_delta)
        self.evaluator = evaluator
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        """Watch the epochs of ``engine``, the trainer, and stop it."""
        self.set_trainer(engine)
        super().attach(engine)

    def __call__(self, engine: Engine) -> None:
        """Compare the newest score, if this epoch has one."""
        if validated_in(self.evaluator, engine.state.epoch):
            super().__call__(engine)

    def state_dict(self) -> dict[str, Any]:
        """Validations without improvement so far and the best score."""
        return dict(self._attached().state_dict())

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        self._attached().load_state_dict(state_dict)

    @property
    def exhausted(self) -> bool:
        """Whether the patience is at its end; with more of it a run that was stopped goes on."""
        return bool(self.waited >= self._attached().patience)

    @property
    def waited(self) -> int:
        """Validations without improvement so far."""
        return int(self._attached().counter)

    def _attached(self) -> Any:
        handler: Any = self._handler  # ignite's EarlyStopping, made by set_trainer
        if handler is None:
            raise RuntimeError("EarlyStop has no state before it is attached to a trainer")
        return handler

    def _score(self, engine: Engine) -> float:
        metrics = self.evaluator.state.metrics if self.evaluator else {}
        if self.metric not in metrics:
            raise KeyError(f"the evaluator has no metric {self.metric!r} to stop on, it has {sorted(metrics)}")
        score = float(metrics[self.metric])
        return -math.inf if math.isnan(score) else score
