# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Systems against each other on the same images, with a correction for how many comparisons there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from monai_vlsm.statistics.bootstrap import Estimate, estimates, signed_rank
from monai_vlsm.statistics.crossed import holm
from monai_vlsm.studies.cells import Cell, Place

__all__ = ["SystemPair", "compare_systems"]

_ROUNDING = 5e-7  # scores are written with six digits


@dataclass(frozen=True)
class SystemPair:
    """Dice of two systems in one place, over the seeds and the images or patients that both have.

    Args:
        place: row of the table.
        first: name of a system.
        other: name of another.
        seeds: that both have.
        units: images or patients that both have.
        change: of the mean of ``other`` over that of ``first``, with an interval over units.
        p: of Wilcoxon's signed-rank test over units; None where too few are there.
        corrected: the same after Holm's correction for all comparisons of a table.
    """

    place: Place
    first: str
    other: str
    seeds: int
    units: int
    change: Estimate
    p: float | None
    corrected: float | None = None


def compare_systems(cells: Sequence[Cell]) -> list[SystemPair]:
    """Every two systems in each place.

    Args:
        cells: of one table, all with the same kind of prompts.
    """
    pairs = list(_pairs(cells))
    corrected = holm([pair.p for pair in pairs])
    return [replace(pair, corrected=p) for pair, p in zip(pairs, corrected, strict=True)]


def _pairs(cells: Sequence[Cell]) -> Iterator[SystemPair]:
    for place in dict.fromkeys(cell.place for cell in cells):
        for first, other in combinations([cell for cell in cells if cell.place == place], 2):
            seeds = sorted({one.run.seed for one in first.scored} & {one.run.seed for one in other.scored})
            before, after = _dice(first, seeds), _dice(other, seeds)
            units = sorted(before.keys() & after.keys())
            if units:
                changes = np.array([after[unit] - before[unit] for unit in units])
                changes[np.abs(changes) < _ROUNDING] = 0
                change = estimates(changes[:, None], np.array(units))[0]
                names = (first.system, other.system)
                yield SystemPair(place, *names, len(seeds), len(units), change, signed_rank(changes))


def _dice(cell: Cell, seeds: Sequence[int]) -> dict[str, float]:
    """Unit to its mean Dice over seeds, for units with a value of every seed."""
    chosen = [index for index, one in enumerate(cell.scored) if one.run.seed in seeds]
    sums, numbers = (part[chosen, :, 0] for part in cell.totals)
    whole = np.atleast_1d(np.all(numbers > 0, axis=0))
    means = (sums / np.maximum(numbers, 1)).sum(axis=0) / max(1, len(chosen))
    return {unit: float(means[index]) for index, unit in enumerate(cell.units) if chosen and whole[index]}
