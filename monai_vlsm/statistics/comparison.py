# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs compared image by image with the first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from monai_vlsm.statistics.bootstrap import Estimate, estimates, signed_rank, unit_means
from monai_vlsm.statistics.columns import Columns, Group, groups, select
from monai_vlsm.statistics.reading import METRICS, Run
from monai_vlsm.statistics.scores import by_tag, unit_word

__all__ = ["Comparison", "Difference", "PairedRow", "compare"]

KEY = ("dataset", "name", "structure", "style", "tag", "prompt")
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


@dataclass(frozen=True)
class PairedRow:
    """Two runs on one dataset and style."""

    dataset: str
    style: str
    pairs: int
    units: int
    unit: str
    dice: Difference
    iou: Difference
    hd95: Difference


@dataclass(frozen=True)
class Comparison:
    """A run beside the first.

    Args:
        first: name of the first run.
        other: name of the other.
        pairs: masks that both have: the same image, structure, style and prompt, and as many true pixels.
        images: images that these belong to.
        only_first: masks without a counterpart in the other run.
        only_other: masks without a counterpart in the first.
        other_truth: masks left out because the number of true pixels differs: another size or version.
        by_tag: tag to a row for each dataset and style.
    """

    first: str
    other: str
    pairs: int
    images: int
    only_first: int
    only_other: int
    other_truth: int
    by_tag: dict[str, list[PairedRow]]


def compare(first: Run, other: Run) -> Comparison:
    """Pair the masks of two runs and measure what changed."""
    mine, its = _keys(first.scores), _keys(other.scores)
    common = [key for key in mine if key in its]
    rows = np.array([(mine[key], its[key]) for key in common], dtype=int).reshape(-1, 2)
    same = first.scores["truth_pixels"][rows[:, 0]] == other.scores["truth_pixels"][rows[:, 1]]
    before, after = select(first.scores, rows[same, 0]), select(other.scores, rows[same, 1])
    paired = {**before, **{f"new_{name}": after[name] for name in METRICS}}
    return Comparison(
        first=first.name,
        other=other.name,
        pairs=int(same.sum()),
        images=len(set(zip(before["dataset"], before["image_id"], strict=True))),
        only_first=len(mine) - len(common),
        only_other=len(its) - len(common),
        other_truth=int((~same).sum()),
        by_tag=by_tag(paired, _paired_rows),
    )


def _keys(scores: Columns) -> dict[tuple[str, ...], int]:
    """What identifies each row; rows that are alike in all of it are told apart by their order."""
    seen: Counter[tuple[str, ...]] = Counter()
    keys = {}
    for row, key in enumerate(zip(*(scores[name] for name in KEY), strict=True)):
        keys[(*key, str(seen[key]))] = row
        seen[key] += 1
    return keys


def _paired_rows(paired: Columns) -> list[PairedRow]:
    return [_paired_row(group, select(paired, group.rows)) for group in groups(paired)]


def _paired_row(group: Group, found: Columns) -> PairedRow:
    units = found["unit"]
    counts = (len(units), len(set(units)), unit_word(units))
    before, after = (np.stack([found[prefix + name] for name in METRICS], axis=1) for prefix in ("", "new_"))
    changes = np.where(np.isfinite(before) & np.isfinite(after), after, np.nan) - before
    intervals = estimates(np.where(np.isfinite(changes), changes, np.nan), units)
    sides = [(before[:, i], after[:, i], changes[:, i]) for i in range(len(METRICS))]
    signs = (1, 1, -1)  # a smaller distance is better
    differences = [
        _difference(*side, units, interval, sign) for side, interval, sign in zip(sides, intervals, signs, strict=True)
    ]
    return PairedRow(group.dataset, group.style, *counts, *differences)


def _difference(
    before: np.ndarray, after: np.ndarray, change: np.ndarray, units: np.ndarray, interval: Estimate, sign: int
) -> Difference:
    moved = unit_means(change, units)
    moved[np.abs(moved) < ROUNDING] = 0
    finite = np.isfinite(change)
    first, other = (float(side[finite].mean()) if finite.any() else None for side in (before, after))
    better, worse = int((sign * moved > 0).sum()), int((sign * moved < 0).sum())
    return Difference(first, other, interval, better, worse, len(moved) - better - worse, signed_rank(moved))
