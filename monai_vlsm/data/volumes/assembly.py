# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks of a volume, put together from its slices without keeping their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["Assembly"]


class Assembly:
    """K masks of a volume and their label map, filled slice by slice.

    A voxel takes K bits for the masks, 2 bytes for the highest probability and 1 or 2 bytes for the prompt that has it:
    1.1 GB for 512 x 512 x 1,000 voxels and 10 prompts, whose probabilities would take 10.5 GB.

    Args:
        shape: slices, rows, columns.
        prompts: how many.
        threshold: lowest probability of a voxel of a mask.
    """

    def __init__(self, shape: tuple[int, int, int], prompts: int, threshold: float = 0.5) -> None:
        self.shape, self.threshold = shape, threshold
        slices, rows, columns = shape
        self._bits = np.zeros((prompts, slices, rows, (columns + 7) // 8), np.uint8)
        self._best = np.full(shape, -1, np.float16)
        self._numbers = np.zeros(shape, np.uint8 if prompts < 256 else np.uint16)
        self._added = np.zeros((slices, prompts), bool)

    def add(self, index: int, probabilities: ArrayLike, prompts: Sequence[int] | None = None) -> None:
        """Put in what was found in a slice, once for each slice and prompt.

        Args:
            index: number of the slice, from 0.
            probabilities: float from 0 to 1, ``(K, rows, columns)``; NaN counts as 0.
            prompts: numbers of the prompts, from 0, that these K are of; None means all, in their order.

        Raises:
            ValueError: another shape.
        """
        values = np.nan_to_num(np.asarray(probabilities), nan=0.0)
        places = list(range(len(self._bits))) if prompts is None else list(prompts)
        if values.shape != (len(places), *self.shape[1:]):
            raise ValueError(
                f"slice {index}: expected probabilities of shape {(len(places), *self.shape[1:])}, got {values.shape}"
            )
        inside = values >= self.threshold
        self._bits[places, index] = np.packbits(inside, axis=-1)
        self._added[index, places] = True
        # compared before rounding: a voxel has a number if and only if it is in a mask
        which, best = values.argmax(axis=0), values.max(axis=0)
        better = inside.any(axis=0) & (best.astype(np.float16) > self._best[index])
        self._best[index][better] = best[better]
        self._numbers[index][better] = np.asarray(places)[which][better] + 1

    def missing(self) -> list[int]:
        """Numbers of the slices that have not been added, or not with all prompts."""
        return [int(index) for index in np.flatnonzero(~self._added.all(axis=1))]

    def mask(self, prompt: int) -> np.ndarray:
        """Mask of a prompt, given by its number from 0: bool ``(slices, rows, columns)``."""
        return np.unpackbits(self._bits[prompt], axis=-1, count=self.shape[2]).view(bool)

    def of_slice(self, index: int) -> np.ndarray:
        """All masks of a slice: bool ``(K, rows, columns)``."""
        return np.unpackbits(self._bits[:, index], axis=-1, count=self.shape[2]).view(bool)

    def labels(self) -> np.ndarray:
        """The label map, ``(slices, rows, columns)``: k for the k-th prompt, counted from 1, and 0 for background.

        Where masks overlap, the most probable prompt has the voxel; of equal ones that which was added first. uint8,
        for more than 255 prompts uint16.
        """
        return self._numbers
