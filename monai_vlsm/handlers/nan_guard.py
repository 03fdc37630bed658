# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Stops training before a loss that is not a number reaches the weights."""

from __future__ import annotations

import math

from monai.engines import IterationEvents, Workflow

from monai_vlsm.errors import UserError
from monai_vlsm.handlers.engine_state import batch_names

__all__ = ["NaNGuard", "NonFiniteError", "non_finite_error"]


class NonFiniteError(UserError, ArithmeticError):
    """Loss or gradients are NaN or infinite."""


def non_finite_error(engine: Workflow, what: str, value: float) -> NonFiniteError:
    """The error to raise for the current batch of ``engine``; says epoch, batch and images."""
    state = engine.state
    batch = state.iteration if not state.epoch_length else (state.iteration - 1) % state.epoch_length + 1
    of = f" of {state.epoch_length}" if state.epoch_length else ""
    images = "\n".join(f"  {name}" for name in batch_names(state.batch)) or "  (the batch names no images)"
    return NonFiniteError(
        f"{what} is {value} in epoch {state.epoch}, batch {batch}{of}; training stops, the "
        "weights of this batch are not saved. Look for broken images or masks, or lower the learning rate. "
        f"Images of the batch:\n{images}"
    )


class NaNGuard:
    """Raises at a loss that is NaN or infinite, before the backward pass.

    The optimizer never sees that batch, and the files of the last good epoch (model and training state) stay as they
    are. Infinite *gradients* under mixed precision are normal, ``GradScaler`` skips them; without it
    :class:`ClipGradNorm` stops at them with the same error. Attach to the trainer, anywhere.

    Raises:
        NonFiniteError: says the epoch, the batch and its images.
    """

    def attach(self, engine: Workflow) -> None:
        """Watch the loss of ``engine``, a ``SupervisedTrainer``."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        """Check the loss that was just computed."""
        loss = float(engine.state.output["loss"].detach())
        if not math.isfinite(loss):
            raise non_finite_error(engine, "the loss", loss)
