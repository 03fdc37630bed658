# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How many pixels of each class the slices of a label map have."""

from __future__ import annotations

from functools import lru_cache
from os import PathLike
from pathlib import Path

import numpy as np

from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.volumes.numbers import count_labels
from monai_vlsm.data.volumes.stacks import KNOWN, open_stack
from monai_vlsm.data.volumes.store import COUNTS, kept, key_of, store_folder

__all__ = ["label_counts"]


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
