# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The MONAI workflow that evaluates an expression of a bundle's config.

An expression sees other values of the config, but neither the names in it nor who set them. The workflow that runs it
stands further up the stack, and with it the config as it is written.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from monai.bundle import ConfigWorkflow
from monai.bundle import scripts as monai_scripts
from monai.utils import ensure_tuple

from monai_vlsm.checkpoints import ModelNotFoundError
from monai_vlsm.interrupts import own_process

__all__ = [
    "bundle_root",
    "calling_modules",
    "config_files",
    "given",
    "initialized_workflow",
    "root_is_known",
    "running_workflow",
]

_NOT_SETTINGS = {"workflow_name", "config_file", "meta_file", "logging_file", "args_file", "tracking", "workflow_type"}
_NOT_SETTINGS |= {"properties_path", "init_id", "run_id", "final_id"}


def _frames() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back


def calling_modules() -> Iterator[str]:
    """Names of the modules whose code has called this, the nearest first."""
    return (str(frame.f_globals.get("__name__", "")) for frame in _frames())


def running_workflow() -> ConfigWorkflow | None:
    """The workflow that evaluates the expression from which this is called; None outside of one."""
    owners = (frame.f_locals.get("self") for frame in _frames())
    return next((owner for owner in owners if isinstance(owner, ConfigWorkflow)), None)


def initialized_workflow() -> ConfigWorkflow | None:
    """The workflow whose ``initialize`` list is run just now; None elsewhere.

    Only then may its config be changed: with an empty ``run_id``, as MONAI Label gives it, a whole config is evaluated
    in one go, ``initialize`` included.
    """
    code = ConfigWorkflow.initialize.__code__
    owner = next((frame.f_locals["self"] for frame in _frames() if frame.f_code is code), None)
    return owner if owner is not None and owner.init_id else None


def _creation() -> dict[str, Any]:
    """The variables of ``monai.bundle.create_workflow``, if that is what initializes the workflow; else empty."""
    code = monai_scripts.create_workflow.__code__
    return next((frame.f_locals for frame in _frames() if frame.f_code is code), {})


def given() -> dict[str, Any]:
    """What was set beside the config files: id, with ``::`` between its parts, to the value that MONAI was given.

    Empty for a ``ConfigWorkflow`` that a program made by itself: MONAI keeps no record of it.
    """
    values: dict[str, Any] = _creation().get("_args", {})
    return {name.replace("#", "::"): value for name, value in values.items() if name not in _NOT_SETTINGS}


def config_files() -> Any:
    """The config files as ``create_workflow`` got them: a path, or a list; None if that is not who asks."""
    return _creation().get("config_file")


def bundle_root() -> str:
    """The folder of the bundle whose config is used: the one above ``configs``.

    That of the first config file: of the running workflow, or of another function of ``monai.bundle`` such as
    ``ckpt_export``. The working folder where a program reads the config by itself: only it knows where the file lies,
    and it sets ``bundle_root``. So must a program that makes a workflow while it works in another folder than that of
    the bundle: which of the two it means, cannot be known.

    Raises:
        ModelNotFoundError: such a program does not set it.
    """
    workflow = running_workflow()
    if workflow is not None and not root_is_known(workflow):
        raise ModelNotFoundError(
            f"which folder models and results belong to is not known: this program works in {Path.cwd()}, and the "
            f"config lies in {workflow.config_root_path}. Give bundle_root, the bundle's folder (--bundle_root on a "
            "command line)"
        )
    folder = _exported_folder() if workflow is None else Path(workflow.config_root_path)
    if folder is None:
        return "."
    return os.fspath(folder.parent if folder.name == "configs" else folder)


def root_is_known(workflow: ConfigWorkflow) -> bool:
    """Whether the folder of the config tells: on a command line, and where it lies in the working folder or below."""
    path = Path(workflow.config_root_path)
    above = {*path.absolute().parents, *path.resolve().parents}  # a folder may be a link
    loaded = any(frame.f_code is monai_scripts.load.__code__ for frame in _frames())  # which was told the bundle
    return loaded or own_process() or Path.cwd() in above


def _exported_folder() -> Path | None:
    """The folder of the config that a function of ``monai.bundle`` reads without a workflow."""
    named = (frame.f_locals.get("config_file_") for frame in _frames() if frame.f_globals is vars(monai_scripts))
    files = next((found for found in named if found), None)
    return Path(ensure_tuple(files)[0]).parent if files else None
