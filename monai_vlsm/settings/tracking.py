# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``--tracking mlflow`` as MONAI adds it to a config, fitted to the bundles of this package."""

from __future__ import annotations

from typing import Any

from monai.bundle import ConfigWorkflow

__all__ = ["fit_tracking"]

_TRAINER = "train::handlers"
_LISTS = (_TRAINER, "validate::handlers", "handlers")
_RUN = "monai_vlsm.handlers.tracked_run.TrackedRun"
_LOSS = "$monai_vlsm.handlers.own_loss"


def fit_tracking(workflow: ConfigWorkflow) -> None:
    """Let the run end with what it tracks, and tell where the loss of a trainer is.

    MONAI's handler looks for it in the first of a list of images, and our trainers do not take batches apart.

    Args:
        workflow: its config is changed, before anything of it is made.
    """
    for name in (name for name in _LISTS if name in workflow.parser):
        handlers = workflow.parser[name]
        ours = [_fitted(one, name) for one in handlers if _is_of_mlflow(one)]
        if ours:
            workflow.parser[name] = [*ours, *(one for one in handlers if not _is_of_mlflow(one))]


def _is_of_mlflow(handler: Any) -> bool:
    return isinstance(handler, dict) and handler.get("_target_") == "MLFlowHandler"


def _fitted(handler: dict[str, Any], name: str) -> dict[str, Any]:
    loss = {"output_transform": _LOSS} if name == _TRAINER else {}
    return {**handler, "_target_": _RUN, **loss}
