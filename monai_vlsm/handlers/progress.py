# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A bar for the whole run, and one line per epoch."""

from __future__ import annotations

import math
import operator
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Workflow
from tqdm import tqdm

from monai_vlsm.handlers.engine_state import EpochLoss, scalar_metrics, validated_in

__all__ = ["ProgressBar", "epoch_line"]


def epoch_line(epoch: int, epochs: int, values: Mapping[str, float]) -> str:
    """``epoch 3/200  loss 0.1234  lr 0.001  val_dice 0.8123``: numbers to four significant digits."""
    return "  ".join([f"epoch {epoch}/{epochs}", *(f"{name} {value:.4g}" for name, value in values.items())])


class ProgressBar:
    """Shows the iterations of all epochs with epoch, loss, learning rate and the time left for the whole run.

    After each epoch it prints one line with the mean loss (of all processes), the learning rate and the metrics of the
    validation, if there was one; an evaluator without metrics has no line. Where the stream is no terminal (a log file)
    there is no bar, only these lines, with the time used and left. The time left counts validations in, as they
    happened so far. Attach to the trainer after ``ValidationHandler``, on all processes (process 0 prints); it works on
    an evaluator of its own, too.

    Args:
        evaluator: the engine that validates during training; its progress is shown in the bar.
        stream: where to write, stderr by default.
    """

    def __init__(self, evaluator: Workflow | None = None, stream: TextIO | None = None) -> None:
        self.evaluator = evaluator
        self.stream = stream
        self._loss = EpochLoss()
        self._training: dict[str, float] = {}
        self._bar: tqdm[Any] | None = None
        self._started = 0.0
        self._first = 0

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``."""
        self._loss.attach(engine)  # on all processes, which take its mean together
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._summarise)
        engine.add_event_handler(Events.COMPLETED, self._close)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._show_validation)

    def _open(self, engine: Workflow) -> None:
        if self._bar is not None:
            return
        stream = self.stream or sys.stderr
        length = engine.state.epoch_length or operator.length_hint(engine.state.dataloader, 0) or None
        self._first, self._started = engine.state.iteration, time.monotonic()
        self._bar = tqdm(
            total=None if length is None else length * engine.state.max_epochs,
            initial=engine.state.iteration,
            disable=not stream.isatty(),
            file=stream,
            smoothing=0,  # the mean speed of the run, so that validations count
            dynamic_ncols=True,
            leave=False,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]",
        )

    def _advance(self, engine: Workflow) -> None:
        self._training = _training_values(engine, self._loss.mean)  # now: the schedule changes lr before the summary
        if self._bar is None or self._bar.disable:
            return
        self._bar.set_description_str(f"epoch {engine.state.epoch}/{engine.state.max_epochs}", refresh=False)
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in self._training.items()}, refresh=False)
        self._bar.update()

    def _show_validation(self, evaluator: Workflow) -> None:
        if self._bar is not None and not self._bar.disable:
            length = evaluator.state.epoch_length
            self._bar.set_postfix_str(f"validating {evaluator.state.iteration}/{length}")

    def _summarise(self, engine: Workflow) -> None:
        if self._bar is None:
            return
        mean = self._loss.mean  # by now of all processes, and of all steps
        values = {**({} if math.isnan(mean) else {"loss": mean}), **self._training}
        if "loss" in values:
            values["loss"] = mean
        scored = engine if self.evaluator is None else self.evaluator
        if validated_in(scored, engine.state.epoch):
            values.update(scalar_metrics(scored))
        if not values:
            return
        line = epoch_line(engine.state.epoch, engine.state.max_epochs, values)
        if self._bar.disable:
            line += "  " + self._times(engine)
        tqdm.write(line, file=self.stream or sys.stderr)

    def _times(self, engine: Workflow) -> str:
        used = time.monotonic() - self._started
        done = engine.state.iteration - self._first
        left = used / done * (engine.state.epoch_length * engine.state.max_epochs - engine.state.iteration)
        return f"[{tqdm.format_interval(used)}<{tqdm.format_interval(left)}]"

    def _close(self, engine: Workflow) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _training_values(engine: Workflow, loss: float) -> dict[str, float]:
    values = {} if math.isnan(loss) else {"loss": loss}
    optimizer = getattr(engine, "optimizer", None)
    return values if optimizer is None else values | {"lr": optimizer.param_groups[0]["lr"]}
