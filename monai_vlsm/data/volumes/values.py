# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the values of an image or volume range over."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

__all__ = ["usual_range", "value_range"]

LOWEST_HOUNSFIELD = -1024  # what 12 bits of a scanner hold; air has -1000
PADDING = 0.5  # more than this share of the values below must be one and the same
TAIL = 0.5  # percent of the voxels that are left out at either end
SAMPLE = 2**21  # voxels that percentiles are taken of; of larger volumes every third, fifth, ...


def value_range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest finite value, without padding.

    Files of CT mark what lies outside the scanner's circle with one value below all that tissue or air can have (-2000,
    -3024, -32768). Such a value does not count: it would take the contrast from all others.

    Args:
        values: at least one axis, with a finite value. Only a part, along the first axis, is copied at a time.

    Raises:
        ValueError: values that float32, in which networks calculate, does not hold.
    """
    low, high = _ends(_finite(part) for part in values)
    if max(high - low, high, -low) > float(np.finfo(np.float32).max) and low <= high:
        raise ValueError(f"values from {low:g} to {high:g}, more than single precision holds; save them scaled down")
    if low < LOWEST_HOUNSFIELD:
        below = [_finite(part)[_finite(part) < LOWEST_HOUNSFIELD] for part in values]
        padding = sum(int((part == low).sum()) for part in below)
        if padding > PADDING * sum(part.size for part in below):
            lowest, _ = _ends(part[part >= LOWEST_HOUNSFIELD] for part in map(_finite, values))
            low = lowest if lowest < high else low  # else only padding tells one thing from another
    return low, high


def _finite(part: np.ndarray) -> np.ndarray:
    finite: np.ndarray = part[np.isfinite(part)]
    return finite


def _ends(parts: Iterable[np.ndarray]) -> tuple[float, float]:
    """The lowest and the highest of all; infinity and its opposite of nothing."""
    low, high = float("inf"), float("-inf")
    for part in parts:
        if part.size:
            low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high


def usual_range(values: np.ndarray, low: float) -> tuple[float, float]:
    """The percentiles 0.5 and 99.5 of the finite values above 0, which is the background of MR.

    Where none is above 0, of those above ``low``; ``low`` if there are none either.

    Args:
        values: any shape, in one piece.
        low: of `value_range`.
    """
    part = values.reshape(-1)[:: -(-values.size // SAMPLE) | 1]  # an odd step meets all columns of even rows
    part = part[np.isfinite(part)]
    part = part[part > (0 if (part > 0).any() else low)]
    if not part.size:
        return low, low
    ends = np.percentile(part, (TAIL, 100 - TAIL))
    return float(ends[0]), float(ends[1])
