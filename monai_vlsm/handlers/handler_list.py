# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Several handlers as one, those that follow the validation among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.engines import Workflow
from monai.handlers import ValidationHandler

__all__ = ["HandlerList"]


class HandlerList:
    """Attaches handlers one after the other.

    MONAI Label looks into each entry of ``train#handlers`` and takes it for a table with a ``_target_``. Entries of
    this list may be references by name, such as ``"@model_saver"``.

    Handlers that follow the validation, and have not been told which, get the evaluator of MONAI's
    ``ValidationHandler`` in the list: those with an attribute ``evaluator`` that is None, such as :class:`EarlyStop`.

    Args:
        handlers: objects with ``attach``, in their order.
    """

    def __init__(self, handlers: Sequence[Any]) -> None:
        self.handlers = list(handlers)

    def attach(self, engine: Workflow) -> None:
        """Attach all to ``engine``."""
        evaluator = next((one.validator for one in self.handlers if isinstance(one, ValidationHandler)), None)
        for handler in self.handlers:
            if getattr(handler, "evaluator", self) is None:
                handler.evaluator = evaluator
            handler.attach(engine)
