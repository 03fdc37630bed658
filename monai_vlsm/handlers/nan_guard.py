# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Stops training before a loss that is not a number reaches the weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from monai.engines import IterationEvents, Workflow
from torch import Tensor

from monai_vlsm.errors import UserError
from monai_vlsm.handlers.deferred import DeferredReads
from monai_vlsm.handlers.engine_state import batch_names
from monai_vlsm.host import on_host

__all__ = ["NaNGuard", "NonFiniteError", "require_answer", "require_finite"]


class NonFiniteError(UserError, ArithmeticError):
    """Loss, gradients or what a model answers are NaN or infinite."""


def require_answer(values: Tensor) -> None:
    """Check what a model computed of an image that it is used on.

    Raises:
        NonFiniteError: NaN or infinite numbers are among it.
    """
    if not values.isfinite().all():
        raise NonFiniteError(
            "the model computes values that are no numbers. Its training went wrong, or float16 on a GPU is too narrow "
            "for it: set amp_dtype to bfloat16"
        )


def require_finite(engine: Any, what: str, value: Tensor) -> None:
    """Stop the training at a number that is NaN or infinite, before the optimizer's step.

    The CPU does not wait for a GPU to see it, if the optimizer can be told there to leave the weights as they are:
    those with ``fused=True`` can, by what ``GradScaler`` tells them too. The error then comes when values are read next
    (`DeferredReads`), and until then no step is taken.

    Args:
        engine: the trainer.
        what: the number in words.
        value: one number, on any device.

    Raises:
        NonFiniteError: says epoch, batch and images.
    """
    place = _place(engine)  # now: later the engine is elsewhere

    def take(number: float) -> None:
        if not math.isfinite(number):
            vars(getattr(engine, "optimizer", engine)).pop("found_inf", None)
            raise NonFiniteError(
                f"{what} is {number} in {place[0]}; training stops, the weights of this batch are not saved. Look for "
                f"broken images or masks, or lower the learning rate. Images of the batch:\n{place[1]}"
            )

    if on_host(value) or not _hold_back(engine, value.detach()):
        take(float(value.detach()))
    else:
        DeferredReads.of(engine).add(value, take)


def _hold_back(engine: Any, value: Tensor) -> bool:
    """Let the optimizer take no further step if a number is not finite; False if it cannot be told on the device."""
    if engine.scaler is not None and engine.scaler.is_enabled():
        return True  # which takes no step with gradients that are not finite
    if not getattr(engine.optimizer, "_step_supports_amp_scaling", False):
        return False
    bad = (~value.isfinite()).float().reshape(())
    before = getattr(engine.optimizer, "found_inf", None)
    engine.optimizer.found_inf = bad if before is None else torch.maximum(before, bad)
    return True


def _place(engine: Workflow) -> tuple[str, str]:
    """Epoch and batch in words, and the images of the batch."""
    state = engine.state
    batch = state.iteration if not state.epoch_length else (state.iteration - 1) % state.epoch_length + 1
    of = f" of {state.epoch_length}" if state.epoch_length else ""
    images = "\n".join(f"  {name}" for name in batch_names(state.batch)) or "  (the batch names no images)"
    return f"epoch {state.epoch}, batch {batch}{of}", images


class NaNGuard:
    """Raises at a loss that is NaN or infinite, before the weights change (`require_finite`).

    The files of the last good epoch (model and training state) stay as they are. Infinite *gradients* under mixed
    precision are normal, ``GradScaler`` skips them; without it :class:`ClipGradNorm` stops at them with the same error.
    Attach to the trainer, before handlers that write when an epoch ends.

    Raises:
        NonFiniteError: says the epoch, the batch and its images.
    """

    def attach(self, engine: Workflow) -> None:
        """Watch the loss of ``engine``, a ``SupervisedTrainer``."""
        DeferredReads.of(engine)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self)

    def __call__(self, engine: Workflow) -> None:
        """Check the loss that was just computed."""
        require_finite(engine, "the loss", engine.state.output["loss"])
