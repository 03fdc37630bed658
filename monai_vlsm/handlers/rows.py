# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of a table from all processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Workflow

__all__ = ["RowWriter", "gather_rows"]

Entry = TypeVar("Entry")


def gather_rows(rows: list[Entry], engine: Any) -> list[Entry]:
    """Rows of all processes, in the order of their ranks; all of them must ask.

    Args:
        rows: of this process.
        engine: the evaluator that gave them. Nothing counts of a process that only stands in
            (`monai_vlsm.data.ScoringShare`).
    """
    if idist.get_world_size() == 1:
        return rows
    sampler = getattr(getattr(engine, "data_loader", None), "sampler", None)
    gathered: list[Any] = [None] * idist.get_world_size()
    torch.distributed.all_gather_object(gathered, [] if getattr(sampler, "stands_in", False) else rows)
    return [row for part in gathered for row in part]


class RowWriter(ABC):
    """Collects rows during an epoch of an evaluator with decollation, and writes them when it ends.

    A subclass says which rows an item of a batch gives (`rows_of`), and what is written (`_write`). Attach to the
    *evaluator*, on all processes.
    """

    _rows: list[dict[str, Any]]

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator``."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    @abstractmethod
    def rows_of(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Rows of one decollated entry of the batch and of the engine's output."""

    @abstractmethod
    def _write(self, engine: Workflow) -> None:
        """Write the rows of the epoch; called on all processes."""

    def _clear(self, engine: Workflow) -> None:
        self._rows = []

    def _collect(self, engine: Workflow) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            self._rows += self.rows_of(item, output)
