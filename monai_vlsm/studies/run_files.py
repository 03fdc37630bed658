# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The files of a run that say how far it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.studies.plan import Run

__all__ = ["FAILURE", "PLAN", "RESULT", "has_numbers", "read_failure", "read_json", "read_result", "run_folder"]

PLAN, RESULT, FAILURE = "plan.json", "result.json", "failure.json"
_NUMBERS = ("seconds", "total_seconds", "watt_hours", "parameters", "validation")
_NO_FACT = ("system",)  # its name is only a word in tables


def run_folder(root: Path, run: Run) -> Path:
    """The folder of a run in that of its study."""
    return root / "runs" / run.name


def read_json(path: Path) -> dict[str, Any] | None:
    """A table that was written whole, or None without one; a file that somebody damaged counts as none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def read_result(root: Path, run: Run) -> dict[str, Any] | None:
    """What a run gave; None without it, if it was damaged or is of another run, or if the scores are gone."""
    result = read_json(run_folder(root, run) / RESULT)
    if result is None or not _is_of(result.get("run"), run) or not _is_whole(result):
        return None
    scores = [root / one["folder"] / "metrics.csv" for one in result["evaluations"].values()]
    return result if all(path.is_file() for path in scores) else None


def _is_of(facts: Any, run: Run) -> bool:
    own = {name: value for name, value in run.facts.items() if name not in _NO_FACT}
    return isinstance(facts, dict) and {name: facts.get(name) for name in own} == own


def _is_whole(result: Mapping[str, Any]) -> bool:
    found = result.get("evaluations")
    parts: list[Any] = list(found.values()) if isinstance(found, dict) else [None]
    return (
        all(isinstance(one, dict) and isinstance(one.get("folder"), str) for one in parts)
        and all(isinstance(one.get("versions"), dict | None) for one in parts)
        and all(isinstance(digest, str) for digest in _values(result.get("lists")))
        and has_numbers(result)
        and all(isinstance(one.get("leaks"), dict | None) for one in [result, *parts])
    )


def has_numbers(table: Mapping[str, Any]) -> bool:
    """Whether times, energy, parameters and scores are numbers where a table has them."""
    return all(isinstance(table[name], int | float) for name in _NUMBERS if table.get(name) is not None)


def _values(table: Any) -> list[Any]:
    return [] if table is None else list(table.values()) if isinstance(table, dict) else [table, None]


def read_failure(root: Path, run: Run) -> dict[str, Any] | None:
    """Why a run has failed, if it has: ``error`` and the name of its ``log``."""
    found = read_json(run_folder(root, run) / FAILURE) or {}
    return found if all(isinstance(found.get(name), str) for name in ("error", "log")) else None
