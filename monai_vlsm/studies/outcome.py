# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a run gave, and where it comes from: scores, split, versions, commit, time."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

from monai_vlsm.errors import UserError
from monai_vlsm.studies.keys import StudyError
from monai_vlsm.studies.run_files import read_json
from monai_vlsm.studies.study import CLASS

__all__ = ["commit", "evaluation_facts", "is_evaluated", "trained_parameters", "validation_dice"]

_TRAINABLE = re.compile(r"([\d,]+) of [\d,]+ parameters are trainable")


def is_evaluated(evaluation: Path, styles: list[str]) -> bool:
    """Whether an evaluation is whole and of these prompts; its record is written last."""
    return (read_json(evaluation / "run.json") or {}).get("styles") == styles


def evaluation_facts(root: Path, evaluation: Path) -> dict[str, Any]:
    """What stands in the result of a run for one evaluation.

    Args:
        root: folder of the study; the place is told relative to it.
        evaluation: its folder.

    Raises:
        StudyError: the files are not there or not whole, or the scores are not numbers.
    """
    from monai_vlsm.statistics.reading import (  # here, since it takes scipy, which a plan does not need
        METRICS,
        read_run,
    )

    try:
        scores = read_run(evaluation).scores
    except UserError as error:
        raise StudyError(str(error)) from error
    facts = read_json(evaluation / "run.json") or {}
    for name in METRICS[:2]:
        if not (scores[name] == scores[name]).all():
            raise StudyError(f"{evaluation / 'metrics.csv'}: a {name} is not a number (NaN)")
    kept = {key: facts.get(key) for key in ("styles", "data", "model", "split", "versions", "created")}
    return {"folder": evaluation.relative_to(root).as_posix(), **kept}


def trained_parameters(log: Path) -> int | None:
    """How many parameters a training said that it trains."""
    found = _TRAINABLE.findall(log.read_text(encoding="utf-8", errors="replace")) if log.is_file() else []
    return int(found[0].replace(",", "")) if found else None


def validation_dice(training: Path) -> float | None:
    """Mean Dice over the validation images after the best epoch of a training, of class prompts if there are some."""
    by_tag = (read_json(training / "metrics.json") or {}).get("by_tag", {})
    means: dict[str, Any] = by_tag.get(CLASS) or next(iter(by_tag.values()), {})
    score: float | None = means.get("mean", {}).get("val_dice")
    return score


def commit() -> str:
    """The revision of the code, with a plus if it was changed since; empty outside a repository."""
    root = Path(__file__).parents[2]
    words = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
