# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Keeps the best model of a run in one file."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Workflow

from monai_vlsm.handlers.engine_state import is_best_epoch, validated_in
from monai_vlsm.io import save_atomically

__all__ = ["ModelSaver"]

logger = logging.getLogger(__name__)


class ModelSaver:
    """Writes ``state.state_dict()`` to ``path`` whenever the evaluator's key metric is the best so far.

    As long as there has been no validation at all (no validation data, or none before the first interval) it writes
    at the end of each epoch, so that there always is a model. NaN is never the best. Attach to the *trainer*, on all
    processes, after ``ValidationHandler``; process 0 writes.

    ``CheckpointSaver(save_key_metric=True, key_metric_filename=...)`` is not used because it restores its best value
    only if that is stored within the model file, because it does not replace the file in one step, and because
    without a validation it writes nothing.

    Its own state for a resumed run is the evaluator's best value, which :class:`ScoreWriter` and
    :class:`OverlayWriter` go by as well.

    Args:
        state: an object with ``state_dict()``, for example ``monai_vlsm.checkpoints.TrainedState``.
        path: file to write, usually ``models/model.pt`` of the bundle.
        evaluator: the validating engine, with a key metric; None if there is none.
    """

    def __init__(self, state: Any, path: str | os.PathLike[str], evaluator: Workflow | None = None) -> None:
        self.state = state
        self.path = path
        self.evaluator = evaluator

    def attach(self, engine: Workflow) -> None:
        """Save after epochs of ``engine``, the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        """Save if this epoch is the best, or if no epoch was ever validated."""
        if self._wanted(engine.state.epoch) and idist.get_rank() == 0:
            self.state.temperature = 1.0  # that of the model it began from is not that of these weights
            save_atomically(self.state.state_dict(), self.path)
            logger.info("epoch %d: saved %s", engine.state.epoch, self.path)

    def state_dict(self) -> dict[str, Any]:
        """Best value of the key metric and its epoch; empty without an evaluator."""
        if self.evaluator is None:
            return {}
        best = self.evaluator.state
        return {"best_metric": float(best.best_metric), "best_metric_epoch": int(best.best_metric_epoch)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Tell the evaluator the best value that :meth:`state_dict` returned."""
        if self.evaluator is not None:
            for name, value in state_dict.items():
                setattr(self.evaluator.state, name, value)

    def _wanted(self, epoch: int) -> bool:
        if self.evaluator is None:
            return True
        if validated_in(self.evaluator, epoch):
            return is_best_epoch(self.evaluator)
        return not self.evaluator.state.metrics and self.evaluator.state.best_metric_epoch == -1
