# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of several trainings on the same images: intervals over images and seeds, and tests for many comparisons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monai_vlsm.statistics.bootstrap import LEVEL, RESAMPLES, SEED, Estimate

__all__ = ["crossed_estimates", "holm", "unit_totals"]


def unit_totals(values: np.ndarray, units: np.ndarray, order: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the finite values of each unit.

    Args:
        values: (N, M).
        units: (N,), images or patients.
        order: the U units, in the order of the result.

    Returns:
        Sums and numbers, (U, M) each; zero for units without a value.
    """
    place = {unit: index for index, unit in enumerate(order)}
    index = np.array([place[unit] for unit in units], dtype=int)
    finite = np.isfinite(values)
    sums, numbers = np.zeros((len(order), values.shape[1])), np.zeros((len(order), values.shape[1]))
    np.add.at(sums, index, np.where(finite, values, 0))
    np.add.at(numbers, index, finite)
    return sums, numbers


def crossed_estimates(sums: np.ndarray, numbers: np.ndarray) -> list[Estimate]:
    """Mean over seeds of the means over units, with 95 % percentile intervals over both.

    Each sample of the bootstrap draws seeds and, apart from that, units, both with replacement: an image that is drawn
    counts with its scores of all drawn seeds. With one seed only units are drawn. Three seeds say little about seeds;
    the interval is then mostly that of the images.

    Args:
        sums: totals of the values, (S, U, M): seeds, units, kinds of scores.
        numbers: how many values each total has, (S, U, M).

    Returns:
        M estimates.
    """
    seeds, units, kinds = sums.shape
    generator = np.random.default_rng(SEED)
    seed_weights = generator.multinomial(seeds, np.full(seeds, 1 / seeds), RESAMPLES).astype(float)
    unit_weights = generator.multinomial(units, np.full(units, 1 / units), RESAMPLES).astype(float)
    return [_estimate(sums[..., kind], numbers[..., kind], seed_weights, unit_weights) for kind in range(kinds)]


def _estimate(sums: np.ndarray, numbers: np.ndarray, seed_weights: np.ndarray, unit_weights: np.ndarray) -> Estimate:
    """One kind of score; weights are (R, S) and (R, U)."""
    means = _means(sums.sum(axis=1), numbers.sum(axis=1))
    known = np.isfinite(means)
    if not known.any():
        return Estimate(None, None, None)
    mean = float(means[known].mean())
    if (numbers.sum(axis=0) > 0).sum() < 2:
        return Estimate(mean, None, None)
    of_seeds = _means(unit_weights @ sums.T, unit_weights @ numbers.T)  # (R, S)
    weights = np.where(np.isfinite(of_seeds), seed_weights, 0)
    drawn = _means((weights * np.nan_to_num(of_seeds)).sum(axis=1), weights.sum(axis=1))
    tail = (1 - LEVEL) / 2 * 100
    low, high = np.nanpercentile(drawn, [tail, 100 - tail])
    return Estimate(mean, float(low), float(high))


def _means(sums: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    return np.divide(sums, numbers, out=np.full(np.shape(sums), np.nan), where=numbers > 0)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction of p values for as many comparisons as have one; None stays None.

    The chance that any of them is below a limit by chance alone is at most that limit.
    """
    order = sorted((p, index) for index, p in enumerate(values) if p is not None)
    corrected: list[float | None] = [None] * len(values)
    highest = 0.0
    for rank, (p, index) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p))
        corrected[index] = highest
    return corrected
