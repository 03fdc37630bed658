# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Losses and scores in TensorBoard, written by one process."""

from __future__ import annotations

import os
from typing import Any

import ignite.distributed as idist
from monai.handlers import TensorBoardStatsHandler

__all__ = ["TensorBoardLog"]


class TensorBoardLog(TensorBoardStatsHandler):
    """MONAI's ``TensorBoardStatsHandler``, of which only process 0 writes a file.

    Attach on all processes: what it writes may be a mean that all of them take together.

    Args:
        log_dir: folder of the events.
        kwargs: further arguments of ``TensorBoardStatsHandler``.
    """

    def __init__(self, log_dir: str | os.PathLike[str], **kwargs: Any) -> None:
        writer: Any = None if idist.get_rank() == 0 else _Silent()
        super().__init__(writer, log_dir=os.fspath(log_dir), **kwargs)


class _Silent:
    """Takes what a ``SummaryWriter`` takes."""

    def add_scalar(self, *_: Any) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""
