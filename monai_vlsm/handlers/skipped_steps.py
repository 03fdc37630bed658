# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Steps that mixed precision leaves out: a few are normal, all are a training that learns nothing."""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import Any

import ignite.distributed as idist
from ignite.engine import Events
from torch import Tensor

from monai_vlsm.handlers.deferred import DeferredReads
from monai_vlsm.handlers.nan_guard import NonFiniteError
from monai_vlsm.host import on_host

__all__ = ["SkippedSteps"]

logger = logging.getLogger(__name__)

MOST = 20
"""Steps in a row. ``GradScaler`` begins with 2 ** 16 and halves it at each, so that after 16 it does not scale at all:
what is infinite then is so by itself."""
_WHY = (
    "the gradients were NaN or infinite, and mixed precision takes no step then. Give --amp_dtype bfloat16 or "
    "--amp False, lower the learning rate, or look for broken images or masks"
)


class SkippedSteps:
    """Counts the steps that ``GradScaler`` leaves out, says so after each epoch, and ends a training of no others.

    A GPU is not waited for (`DeferredReads`). `monai_vlsm.handlers.ClipGradNorm` attaches it.

    Raises:
        NonFiniteError: while training, after 20 steps in a row that were left out; or when it ends and none was taken.
    """

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._row = self._taken = self._left_out = self._told = 0

    def attach(self, engine: Any) -> None:
        """Follow ``engine``, the trainer."""
        DeferredReads.of(engine)  # first, so that `_tell` knows all steps of the epoch
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._tell)
        engine.add_event_handler(Events.COMPLETED | Events.TERMINATE, self._require_steps)

    def add(self, engine: Any, norm: Tensor) -> None:
        """Take note of the norm of the gradients of a step, on any device."""
        take = partial(self._take, engine.state.epoch)
        if on_host(norm):
            take(float(norm))
        else:
            DeferredReads.of(engine).add(norm, take)

    def _take(self, epoch: int, norm: float) -> None:
        taken = math.isfinite(norm)
        self._row = 0 if taken else self._row + 1
        self._taken += taken
        self._left_out += not taken
        if self._row >= MOST:
            raise NonFiniteError(f"{MOST} steps in a row were left out, up to epoch {epoch}: {_WHY}")

    def _tell(self, engine: Any) -> None:
        epoch, left_out = engine.state.epoch, self._left_out
        if left_out and not self._taken and epoch >= engine.state.max_epochs:  # before anything of it is kept
            self._require_steps(engine)
        if left_out and not self._taken and idist.get_rank() == 0:
            logger.warning("warning: all %d steps up to epoch %d were left out: %s", left_out, epoch, _WHY)
        elif left_out > self._told and idist.get_rank() == 0:
            steps = left_out + self._taken
            logger.info("%d of %d steps up to epoch %d were left out: 16 bits were too few", left_out, steps, epoch)
        self._told = left_out

    def _require_steps(self, engine: Any) -> None:
        if self._left_out and not self._taken:
            raise NonFiniteError(f"none of {self._left_out} steps was taken, the training learnt nothing: {_WHY}")
