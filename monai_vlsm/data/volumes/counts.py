# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How many pixels of each class the slices of a label map have."""

from __future__ import annotations

from functools import lru_cache
from os import PathLike
from pathlib import Path

import numpy as np

from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.volumes.stacks import KNOWN, open_stack
from monai_vlsm.data.volumes.store import COUNTS, kept, key_of, store_folder

__all__ = ["label_counts"]

MANY = 2**16  # numbers up to which counting is quicker than sorting


def label_counts(file: str | PathLike[str], plane: str, channel: int | None = None) -> dict[int, np.ndarray]:
    """The pixels of each label number in each slice of a label map.

    Args:
        file: of the label map.
        plane: axial, coronal or sagittal.
        channel: which volume of a 4D file.

    Returns:
        each number that is there, but 0, in order, to an array ``(N,)``, one entry for each slice.

    Raises:
        DatasetProblems: a file that cannot be read, or values that are no label numbers.
    """
    path = Path(file)
    return dict(_known(store_folder(), key_of(path), path, plane, channel))


@lru_cache(maxsize=KNOWN)
def _known(folder: Path, key: str, path: Path, plane: str, channel: int | None) -> dict[int, np.ndarray]:
    found = kept(path, COUNTS, lambda: _counted(path, plane, channel), plane, channel)
    return {int(label): np.array(pixels, np.int64) for label, pixels in found.items()}


def _counted(path: Path, plane: str, channel: int | None) -> dict[int, list[int]]:
    slices = open_stack(path, plane, channel).slices
    found: dict[int, list[int]] = {}
    for index, values in enumerate(slices):
        try:
            counts = count_labels(values)
        except ValueError as error:
            raise DatasetProblems([Problem(str(path), "a label map of whole numbers from 0 on", str(error))]) from None
        for label, pixels in counts.items():
            found.setdefault(label, [0] * len(slices))[index] = pixels
    return {label: found[label] for label in sorted(found)}


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
    """Label numbers as integers; floats that are whole are taken as what they are.

    Raises:
        ValueError: values that are no whole numbers from 0 on; the message says which.
    """
    if values.dtype.kind == "f":
        odd = values[~(values == np.round(values)) | ~np.isfinite(values)]
        if odd.size:
            raise ValueError(f"{float(odd.flat[0]):g}")
        values = values.astype(np.int64)
    if values.size and values.min() < 0:
        raise ValueError(f"{int(values.min())}")
    return values.astype(np.uint8) if values.dtype == bool else values
