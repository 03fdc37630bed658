# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses and scores in TensorBoard, written by one process."""

from __future__ import annotations

import os
from typing import Any

import ignite.distributed as idist
import torch
from monai.handlers import TensorBoardStatsHandler

from monai_vlsm.handlers.deferred import DeferredReads
from monai_vlsm.handlers.engine_state import mean_loss

__all__ = ["TensorBoardLog"]


class TensorBoardLog(TensorBoardStatsHandler):
    """MONAI's ``TensorBoardStatsHandler``, of which only process 0 writes a file, and for which no GPU is waited for.

    Of an iteration it takes one number, by default the loss of a training, mean over all processes; it is written when
    it has been read (`DeferredReads`).

    Attach on all processes: what it writes may be a mean that all of them take together.

    Args:
        log_dir: folder of the events.
        kwargs: further arguments of ``TensorBoardStatsHandler``.
    """

    def __init__(self, log_dir: str | os.PathLike[str], **kwargs: Any) -> None:
        writer: Any = None if idist.get_rank() == 0 else _Silent()
        given = {"tag_name": "train_loss", "output_transform": mean_loss, **kwargs}
        super().__init__(writer, log_dir=os.fspath(log_dir), **given)

    def attach(self, engine: Any) -> None:
        """Follow ``engine``."""
        DeferredReads.of(engine)  # which then reads before the events of an epoch are closed
        super().attach(engine)

    def iteration_completed(self, engine: Any) -> None:
        """Take the number of this iteration."""
        step, value = engine.state.iteration, torch.as_tensor(self.output_transform(engine.state.output))
        DeferredReads.of(engine).add(
            value, lambda number: self._write_scalar(engine, self._writer, self.tag_name, number, step)
        )


class _Silent:
    """Takes what a ``SummaryWriter`` takes."""

    def add_scalar(self, *_: Any) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
