# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the values of an image or volume range over."""

from __future__ import annotations

import numpy as np

__all__ = ["usual_range", "value_range"]

LOWEST_HOUNSFIELD = -1024  # what 12 bits of a scanner hold; air has -1000
PADDING = 0.5  # more than this share of the values below must be one and the same
TAIL = 0.5  # percent of the voxels that are left out at either end
SAMPLE = 2**24  # voxels that percentiles are taken of; of larger volumes every second, third, ...


def value_range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest finite value, without padding.

    Files of CT mark what lies outside the scanner's circle with one value below all that tissue or air can have (-2000,
    -3024, -32768). Such a value does not count: it would take the contrast from all others.

    Args:
        values: any shape, with a finite value.
    """
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = finite.min(), finite.max()
    if low < LOWEST_HOUNSFIELD:
        below = finite < LOWEST_HOUNSFIELD
        if (finite == low).sum() > PADDING * below.sum() and not below.all():
            lowest = finite[~below].min()
            low = lowest if lowest < high else low  # else only padding tells one thing from another
    return float(low), float(high)


def usual_range(values: np.ndarray, low: float) -> tuple[float, float]:
    """The percentiles 0.5 and 99.5 of the finite values above 0, which is the background of MR.

    Where none is above 0, of those above ``low``; ``low`` if there are none either.
    """
    part = values.reshape(-1, order="A")[:: -(-values.size // SAMPLE)]
    part = part[np.isfinite(part)]
    part = part[part > (0 if (part > 0).any() else low)]
    if not part.size:
        return low, low
    ends = np.percentile(part, (TAIL, 100 - TAIL))
    return float(ends[0]), float(ends[1])
