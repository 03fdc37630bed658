# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Gradient clipping for MONAI's trainer, which has none."""

from __future__ import annotations

from monai.engines import IterationEvents, SupervisedTrainer
from torch.nn.utils import clip_grad_norm_

from monai_vlsm.handlers.nan_guard import require_finite
from monai_vlsm.handlers.skipped_steps import SkippedSteps

__all__ = ["ClipGradNorm"]


class ClipGradNorm:
    """Scales the gradients down so that the norm of all of them together is at most ``max_norm``.

    Clips the parameters of the trainer's optimizer after each backward pass that a step follows. Under mixed precision
    on GPU the gradients are unscaled first; infinite ones are left to ``GradScaler``, which skips the step, and counted
    (`monai_vlsm.handlers.skipped_steps.SkippedSteps`).

    Args:
        max_norm: largest allowed Euclidean norm, 0.5 in VLSM-Adapter's training.

    Raises:
        ValueError: when ``max_norm`` is not positive.
        NonFiniteError: while training, when the norm is NaN or infinite and no ``GradScaler`` is in use; or in all
            steps with one.
    """

    def __init__(self, max_norm: float = 0.5) -> None:
        if not max_norm > 0:
            raise ValueError(f"max_norm must be positive, got {max_norm}")
        self.max_norm = max_norm
        self.skipped = SkippedSteps()

    def attach(self, engine: SupervisedTrainer) -> None:
        """Clip the gradients of ``engine``, a ``SupervisedTrainer``."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self)
        self.skipped.attach(engine)

    def __call__(self, engine: SupervisedTrainer) -> None:
        """Clip, if the optimizer steps after this iteration."""
        if not _steps_now(engine):
            return
        scaler = engine.scaler if engine.scaler is not None and engine.scaler.is_enabled() else None
        if scaler is not None:
            scaler.unscale_(engine.optimizer)
        parameters = [parameter for group in engine.optimizer.param_groups for parameter in group["params"]]
        norm = clip_grad_norm_(parameters, self.max_norm)
        if scaler is None:
            require_finite(engine, "the norm of the gradients", norm)
        else:
            self.skipped.add(engine, norm)


def _steps_now(engine: SupervisedTrainer) -> bool:
    """Whether ``SupervisedTrainer`` steps after this iteration, by its rule for ``accumulation_steps``."""
    length = engine.state.epoch_length
    done = engine.state.iteration if length is None else (engine.state.iteration - 1) % length + 1
    return done % engine.accumulation_steps == 0 or done == length
