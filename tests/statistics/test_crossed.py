# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Intervals over seeds and images, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from monai_vlsm.statistics.crossed import crossed_estimates, holm, unit_totals


def drawn(seeds: int, units: int = 60, between: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(5)
    return generator.normal(0.7, 0.1, (1, units, 1)) + between * np.linspace(-1, 1, seeds)[:, None, None]


def test_one_seed_is_the_bootstrap_over_images() -> None:
    values = drawn(1)
    estimate = crossed_estimates(values, np.ones_like(values))[0]
    found = bootstrap((values[0, :, 0],), np.mean, n_resamples=5000, method="percentile", random_state=1)
    assert estimate.mean == pytest.approx(values.mean())
    expected = (found.confidence_interval.low, found.confidence_interval.high)
    assert (estimate.low, estimate.high) == pytest.approx(expected, abs=0.003)


def test_seeds_that_differ_make_it_wider() -> None:
    widths = []
    for between in (0.0, 0.1):
        values = drawn(3, between=between)
        estimate = crossed_estimates(values, np.ones_like(values))[0]
        assert estimate.mean == pytest.approx(values.mean())
        assert estimate.low is not None and estimate.high is not None
        widths.append(estimate.high - estimate.low)
    # variance of the mean of three seeds that are -0.1, 0 and 0.1, beside that of the images
    assert widths[1] ** 2 - widths[0] ** 2 == pytest.approx((2 * 1.96) ** 2 * (0.02 / 3) / 3, rel=0.25)


def test_patients_with_several_images_and_what_is_missing() -> None:
    values, units = np.array([[1.0], [0.0], [np.nan], [0.5]]), np.array(["a", "a", "b", "c"])
    sums, numbers = unit_totals(values, units, ["a", "b", "c"])
    assert sums[:, 0].tolist() == [1.0, 0.0, 0.5] and numbers[:, 0].tolist() == [2, 0, 1]
    assert crossed_estimates(sums[None], numbers[None])[0].mean == pytest.approx(0.5)
    nothing = crossed_estimates(np.zeros((1, 3, 1)), np.zeros((1, 3, 1)))[0]
    assert (nothing.mean, nothing.low) == (None, None)


def test_a_seed_counts_as_much_as_another_that_has_more_images() -> None:
    sums, numbers = np.array([[[1.0], [1.0]], [[0.0], [0.0]]]), np.array([[[1], [1]], [[1], [0]]])
    assert crossed_estimates(sums, numbers)[0].mean == pytest.approx(0.5)


def test_holm() -> None:
    assert holm([0.01, 0.04, None, 0.03]) == pytest.approx([0.03, 0.06, None, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []
