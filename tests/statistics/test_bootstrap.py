# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from monai_vlsm.statistics.bootstrap import RESAMPLES, SEED, Estimate, estimates, signed_rank, unit_means


def draw(count: int, columns: int = 1) -> np.ndarray:
    return np.random.default_rng(3).beta(4, 2, (count, columns))


def ratio(sums: np.ndarray, numbers: np.ndarray, axis: int = -1) -> np.ndarray:
    return sums.sum(axis) / numbers.sum(axis)


@pytest.mark.parametrize("count", [2, 17, 700])
def test_agrees_with_scipy_over_images(count: int) -> None:
    values = draw(count, 2)
    for column, found in enumerate(estimates(values, np.arange(count))):
        expected = stats.bootstrap(
            (values[:, column],), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(SEED)
        ).confidence_interval
        assert found.mean == pytest.approx(values[:, column].mean(), abs=1e-12)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_agrees_with_scipy_over_patients() -> None:
    values, units = draw(200), np.sort(np.random.default_rng(1).integers(0, 40, 200))
    numbers = np.bincount(units)
    sums = np.bincount(units, values[:, 0])
    expected = stats.bootstrap(
        (sums[numbers > 0], numbers[numbers > 0]),
        ratio,
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    (found,) = estimates(values, units)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found.mean == pytest.approx(values.mean())


def test_copies_of_an_image_add_no_certainty() -> None:
    values = draw(12)
    (once,) = estimates(values, np.arange(12))
    (copied,) = estimates(np.repeat(values, 9, axis=0), np.repeat(np.arange(12), 9))
    (ignored,) = estimates(np.repeat(values, 9, axis=0), np.arange(108))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert ignored.high is not None and ignored.low is not None and once.high is not None and once.low is not None
    assert ignored.high - ignored.low < 0.5 * (once.high - once.low)


def test_the_order_of_rows_and_columns_does_not_matter() -> None:
    values, units = draw(50, 2), np.repeat(np.arange(25), 2)
    order = np.random.default_rng(0).permutation(50)
    mixed = estimates(values[order][:, ::-1], units[order])
    for found, expected in zip(reversed(mixed), estimates(values, units), strict=True):
        assert found.low == pytest.approx(expected.low)


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_left_out_and_counted(hole: float) -> None:
    values = draw(30, 2)
    values[::10, 0] = hole
    holed, whole = estimates(values, np.arange(30))
    assert (holed.left_out, whole.left_out) == (3, 0)
    assert holed.mean == pytest.approx(values[np.isfinite(values[:, 0]), 0].mean())
    assert holed.low is not None and np.isfinite(holed.low)


def test_a_sample_without_any_value_is_skipped() -> None:
    values = np.array([[0.5], [0.7], [np.nan], [np.nan]])
    (found,) = estimates(values, np.arange(4))
    assert (found.low, found.high) == pytest.approx((0.5, 0.7))


@pytest.mark.parametrize(
    ("values", "units", "expected"),
    [
        (np.zeros((0, 1)), np.zeros(0), Estimate(None, None, None)),
        (np.array([[np.nan]]), np.array([0]), Estimate(None, None, None, 1)),
        (np.array([[0.5]]), np.array([0]), Estimate(0.5, None, None)),
        (np.array([[0.25], [0.75]]), np.array([4, 4]), Estimate(0.5, None, None)),
        (np.full((5, 1), 0.5), np.arange(5), Estimate(0.5, 0.5, 0.5)),
    ],
    ids=["nothing", "nothing finite", "one image", "one patient", "all alike"],
)
def test_edges(values: np.ndarray, units: np.ndarray, expected: Estimate) -> None:
    assert estimates(values, units) == [expected]


def test_names_are_units_too() -> None:
    values = draw(6)
    names = np.array(["b", "b", "a", "a", "c", "c"], dtype=object)
    assert estimates(values, names)[0].mean == pytest.approx(values.mean())


def test_coverage() -> None:
    """About 95 of 100 intervals hold the true mean."""
    generator = np.random.default_rng(5)
    hits = 0
    for _ in range(200):
        (found,) = estimates(generator.normal(0.0, 1.0, (60, 1)), np.arange(60))
        assert found.low is not None and found.high is not None
        hits += found.low <= 0 <= found.high
    assert 180 <= hits <= 198


def test_unit_means() -> None:
    values = np.array([1.0, 3.0, np.nan, 5.0, np.nan])
    assert unit_means(values, np.array([0, 0, 0, 1, 2])).tolist() == [2.0, 5.0]
    assert len(unit_means(np.zeros(0), np.zeros(0))) == 0


def test_signed_rank() -> None:
    differences = np.random.default_rng(0).normal(0.2, 1, 40)
    assert signed_rank(differences) == stats.wilcoxon(differences).pvalue
    assert signed_rank(np.zeros(20)) is None
    assert signed_rank(np.arange(1.0, 10.0)) is None  # nine units
    assert signed_rank(np.arange(1.0, 11.0)) == stats.wilcoxon(np.arange(1.0, 11.0)).pvalue
    assert signed_rank(np.zeros(0)) is None
