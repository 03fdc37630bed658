# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How well the score of existence tells prompts of what is there from prompts of what is not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import mannwhitneyu

from monai_vlsm.prompts import TAGS
from monai_vlsm.statistics.bootstrap import Estimate, estimates
from monai_vlsm.statistics.columns import Columns, select
from monai_vlsm.statistics.reading import Run

__all__ = ["ABSENT_OWN", "ABSENT_PROBE", "PRESENT", "Existence", "ExistenceRow", "existence_by_tag"]

PRESENT = "own prompt, there"
ABSENT_OWN = "own prompt, not there"
ABSENT_PROBE = "prompt of something that is not there"


@dataclass(frozen=True)
class ExistenceRow:
    """Prompts of one kind.

    Args:
        kind: `PRESENT`, `ABSENT_OWN` or `ABSENT_PROBE`.
        prompts: how many.
        score: mean score of existence.
        emptied: share that is answered with an empty mask: right for what is absent, wrong for what is present.
    """

    kind: str
    prompts: int
    score: Estimate
    emptied: Estimate


@dataclass(frozen=True)
class Existence:
    """Scores of existence with the prompts of one tag.

    Args:
        rows: one for each kind of prompt that there is.
        separation: chance that something present scores higher than something absent, 0.5 for guessing; None if one
            of the two is missing.
    """

    rows: list[ExistenceRow]
    separation: float | None


def existence_by_tag(run: Run) -> dict[str, Existence]:
    """Tag to what the scores of existence are worth; empty if the run has none."""
    found = {tag: _existence(_kinds(run, tag)) for tag in TAGS}
    return {tag: existence for tag, existence in found.items() if existence.rows}


def _kinds(run: Run, tag: str) -> dict[str, Columns]:
    """The rows of each kind that have a score."""
    empty = run.scores["truth_empty"] > 0
    sources = {PRESENT: (run.scores, ~empty), ABSENT_OWN: (run.scores, empty)}
    if run.probes is not None:
        sources[ABSENT_PROBE] = (run.probes, run.probes["probe"] == "absent")
    kinds = {
        kind: select(columns, rows & (columns["tag"] == tag) & np.isfinite(columns["existence"]))
        for kind, (columns, rows) in sources.items()
        if "existence" in columns
    }
    return {kind: columns for kind, columns in kinds.items() if len(columns["tag"])}


def _existence(kinds: dict[str, Columns]) -> Existence:
    present = [columns["existence"] for kind, columns in kinds.items() if kind == PRESENT]
    absent = [columns["existence"] for kind, columns in kinds.items() if kind != PRESENT]
    separation = _separation(present[0], np.concatenate(absent)) if present and absent else None
    return Existence([_row(kind, columns) for kind, columns in kinds.items()], separation)


def _row(kind: str, columns: Columns) -> ExistenceRow:
    emptied = (columns["pred_pixels"] == 0).astype(np.float64)
    score, share = estimates(np.stack([columns["existence"], emptied], axis=1), columns["unit"])
    return ExistenceRow(kind, len(emptied), score, share)


def _separation(present: np.ndarray, absent: np.ndarray) -> float:
    """Area under the ROC curve: the U statistic as a share of all pairs."""
    return float(mannwhitneyu(present, absent).statistic / (len(present) * len(absent)))
