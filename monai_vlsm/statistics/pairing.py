# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of two runs that belong together, and what changed from one to the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from monai_vlsm.statistics.bootstrap import Estimate, estimates, estimates_over_groups, signed_rank, unit_means
from monai_vlsm.statistics.columns import Columns, select

__all__ = ["Difference", "Pairs", "differences", "pair"]

ROUNDING = 5e-7  # scores are written with six digits


@dataclass(frozen=True)
class Difference:
    """One score of two runs on the same masks.

    Args:
        first: mean of the first run.
        other: mean of the other.
        change: ``other`` less ``first``, with interval.
        better: number of images or patients whose mean got better.
        worse: number whose mean got worse.
        equal: number whose mean stayed.
        p: two-sided, Wilcoxon's signed-rank test over images or patients; None if nothing changed.
    """

    first: float | None
    other: float | None
    change: Estimate
    better: int
    worse: int
    equal: int
    p: float | None


class Pairs(NamedTuple):
    """Rows of the first run that have a counterpart.

    Args:
        rows: these, with the scores of the counterpart as ``new_NAME``.
        only_first: rows of the first run without one.
        only_other: rows of the other run without one.
        other_truth: rows left out since the size of the true mask differs.
    """

    rows: Columns
    only_first: int
    only_other: int
    other_truth: int


def pair(first: Columns, other: Columns, key: Sequence[str], size: str, scores: Sequence[str]) -> Pairs:
    """Pair the rows of two runs.

    Args:
        first: of the first run.
        other: of the other.
        key: columns that must be equal.
        size: column with the size of the true mask.
        scores: columns to take from the other run.
    """
    mine, its = _keys(first, key), _keys(other, key)
    common = [key for key in mine if key in its]
    places = np.array([(mine[key], its[key]) for key in common], dtype=int).reshape(-1, 2)
    same = first[size][places[:, 0]] == other[size][places[:, 1]]
    before, after = select(first, places[same, 0]), select(other, places[same, 1])
    rows = {**before, **{f"new_{name}": after[name] for name in scores}}
    return Pairs(rows, len(mine) - len(common), len(its) - len(common), int((~same).sum()))


def _keys(rows: Columns, key: Sequence[str]) -> dict[tuple[str, ...], int]:
    """What identifies each row; rows that are alike in all of it are told apart by their order."""
    seen: Counter[tuple[str, ...]] = Counter()
    keys = {}
    for row, found in enumerate(zip(*(rows[name] for name in key), strict=True)):
        keys[(*found, str(seen[found]))] = row
        seen[found] += 1
    return keys


def differences(found: Columns, scores: Sequence[str], groups: np.ndarray | None = None) -> list[Difference]:
    """What changed in each score.

    Args:
        found: rows of `pair` with ``unit``.
        scores: names; of a distance (``hd95`` in the name) less is better.
        groups: of each row; means are then over groups of theirs.
    """
    both = [np.stack([found[prefix + name] for name in scores], axis=1) for prefix in ("", "new_")]
    finite = np.isfinite(both[0]) & np.isfinite(both[1])
    before, after = (np.where(finite, side, np.nan) for side in both)
    change, units = after - before, found["unit"]
    intervals = estimates(change, units) if groups is None else estimates_over_groups(change, units, groups)
    alike = np.zeros(len(change)) if groups is None else groups
    rows = []
    for i, name in enumerate(scores):
        first, other = _mean(before[:, i], alike), _mean(after[:, i], alike)
        rows.append(Difference(first, other, intervals[i], *_moved(change[:, i], units, name)))
    return rows


def _mean(values: np.ndarray, groups: np.ndarray) -> float | None:
    """Mean over groups of the mean of each, of what is finite."""
    there = np.isfinite(values)
    means = [values[there & (groups == one)].mean() for one in np.unique(groups[there])]
    return float(np.mean(means)) if means else None


def _moved(change: np.ndarray, units: np.ndarray, name: str) -> tuple[int, int, int, float | None]:
    """How many units got better and worse and stayed, and p."""
    moved = unit_means(change, units)
    moved[np.abs(moved) < ROUNDING] = 0
    sign = -1 if "hd95" in name else 1
    better, worse = int((sign * moved > 0).sum()), int((sign * moved < 0).sum())
    return better, worse, len(moved) - better - worse, signed_rank(moved)
