# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A training that MONAI Label starts: on the labels of its datastore, without anybody who could type settings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from monai_vlsm.settings.workflow import calling_modules

__all__ = ["existing", "trains_for_monai_label"]

_PACKAGE = "monailabel"
_OWN_CONFIG = "monailabel_train.json"  # which it writes beside train.json for its processes on several GPUs


def trains_for_monai_label() -> bool:
    """Whether the workflow that evaluates the expression from which this is called was started by MONAI Label.

    It is, when code of MONAI Label calls it, or when the command line names the config that MONAI Label writes for
    several GPUs.
    """
    called = any(name.partition(".")[0] == _PACKAGE for name in calling_modules())
    return called or any(_OWN_CONFIG in word for word in sys.argv)


def existing(path: str | os.PathLike[str], wanted: bool = True) -> str | None:
    """A file if it is wanted and there; else None."""
    return os.fspath(path) if wanted and Path(path).is_file() else None
