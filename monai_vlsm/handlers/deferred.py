# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Values of training steps that stay on the GPU until several are read at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Events
from torch import Tensor

from monai_vlsm.host import on_host

__all__ = ["DeferredReads"]

STEPS = 20  # of an engine, after which what has been collected is read

Take = Callable[[float], None]


class DeferredReads:
    """Reads values of an engine's iterations together: every 20 iterations, and when an epoch ends.

    Who reads a value of a GPU waits until all that was asked of it is done, and then the GPU waits for its next task.
    Values on a CPU are read at once. Made by `DeferredReads.of`.

    Args:
        engine: the engine whose iterations count.
    """

    def __init__(self, engine: Any) -> None:
        self._waiting: list[tuple[Tensor, Take]] = []
        engine.add_event_handler(Events.EPOCH_STARTED, self._forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=STEPS), self.read)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.read)

    @classmethod
    def of(cls, engine: Any) -> DeferredReads:
        """The one of an engine, made when first asked for: what is attached later finds the values of an epoch."""
        if not hasattr(engine, "deferred_reads"):
            engine.deferred_reads = cls(engine)
        found: DeferredReads = engine.deferred_reads
        return found

    def add(self, value: Tensor, take: Take) -> None:
        """Hand one number to ``take``: now if it is there, else when values are read next."""
        if on_host(value):
            take(float(value.detach()))
        else:
            self._waiting.append((value.detach().reshape(()), take))

    def _forget(self) -> None:
        self._waiting.clear()

    def read(self) -> None:
        """Hand over all that waits, in the order in which it came."""
        waiting = list(self._waiting)
        self._waiting.clear()
        values = torch.stack([value for value, _ in waiting]).tolist() if waiting else []
        for (_, take), value in zip(waiting, values, strict=True):
            take(value)
