# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``--tracking mlflow`` with trainers whose output is not taken apart into its images."""

from __future__ import annotations

from monai.bundle import ConfigWorkflow

__all__ = ["fit_tracking"]

_HANDLERS, _MLFLOW = "train::handlers", "MLFlowHandler"
_LOSS = "$monai_vlsm.handlers.own_loss"


def fit_tracking(workflow: ConfigWorkflow) -> None:
    """Tell the handler that MONAI added where the loss is: by itself it looks in the first of a list of images.

    Args:
        workflow: its config is changed, before anything of it is made.
    """
    if _HANDLERS in workflow.parser:
        handlers = [
            {**one, "output_transform": _LOSS} if isinstance(one, dict) and one.get("_target_") == _MLFLOW else one
            for one in workflow.parser[_HANDLERS]
        ]
        if handlers != workflow.parser[_HANDLERS]:
            workflow.parser[_HANDLERS] = handlers
