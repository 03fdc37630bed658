# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of a run that say how far it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai_vlsm.studies.plan import Run

__all__ = ["FAILURE", "PLAN", "RESULT", "read_json", "run_folder"]

PLAN, RESULT, FAILURE = "plan.json", "result.json", "failure.json"


def run_folder(root: Path, run: Run) -> Path:
    """The folder of a run in that of its study."""
    return root / "runs" / run.name


def read_json(path: Path) -> dict[str, Any] | None:
    """A table that was written whole, or None without one; a file that somebody damaged counts as none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
