# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Several handlers as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ignite.engine import Engine

__all__ = ["HandlerList"]


class HandlerList:
    """Attaches handlers one after the other.

    MONAI Label looks into each entry of ``train#handlers`` and takes it for a table with a ``_target_``. Entries of
    this list may be references by name, such as ``"@model_saver"``.

    Args:
        handlers: objects with ``attach``, in their order.
    """

    def __init__(self, handlers: Sequence[Any]) -> None:
        self.handlers = list(handlers)

    def attach(self, engine: Engine) -> None:
        """Attach all to ``engine``."""
        for handler in self.handlers:
            handler.attach(engine)
