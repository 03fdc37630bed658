# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What counts as the number of a label."""

from __future__ import annotations

import numpy as np

__all__ = ["as_labels", "count_labels", "nearly_whole"]

ROUNDING = 1e-3  # that a number may be off a whole one
MANY = 2**16  # numbers up to which counting is quicker than sorting


def count_labels(values: np.ndarray) -> dict[int, int]:
    """How often each label number but 0 is in an array of any shape.

    Raises:
        ValueError: values that are no whole numbers from 0 on; the message says which.
    """
    labels = as_labels(values)
    if labels.size and labels.max() < MANY:
        counts = np.bincount(labels.ravel())
        return {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label}
    there, times = np.unique(labels, return_counts=True)
    return {int(label): int(count) for label, count in zip(there, times, strict=True) if label}


def as_labels(values: np.ndarray) -> np.ndarray:
    """Label numbers as integers; floats that are whole up to rounding are taken as what they are.

    Programs that scale a label map into 16 bits, as nibabel does with floats, give 1.00002 for 1.

    Raises:
        ValueError: values that are no whole numbers from 0 on; the message says which.
    """
    if values.dtype.kind == "f":
        odd = values[~nearly_whole(values)]
        if odd.size:
            raise ValueError(f"{float(odd.flat[0]):.6g}")
        values = np.rint(values).astype(np.int64)
    if values.size and values.min() < 0:
        raise ValueError(f"{int(values.min())}")
    return values.astype(np.uint8) if values.dtype == bool else values


def nearly_whole(values: np.ndarray) -> np.ndarray:
    """Whether floats are whole up to rounding; bool of the same shape."""
    with np.errstate(invalid="ignore"):  # infinity less infinity
        whole: np.ndarray = np.abs(values - np.rint(values)) <= ROUNDING
    return whole
