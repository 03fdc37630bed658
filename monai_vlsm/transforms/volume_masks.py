# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The masks of a volume, put together from the predictions of its slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from monai_vlsm.data.volumes import Assembly, from_stack, open_stack

__all__ = ["VolumeMasks"]


class VolumeMasks:
    """K masks of one volume with the axes of its file, of which one at a time is made: an array to whoever wants one.

    ``masks[k]``, ``for mask in masks`` and ``numpy.asarray(masks)`` give uint8 0 and 1, ``(X, Y, Z)`` for each.

    Args:
        file: of the volume, see `monai_vlsm.data.volumes.read_any`.
        plane: in which it was sliced.
        prompts: how many.
        threshold: lowest probability of a voxel of a mask.
        channel: which volume of a 4D file.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, file: str, plane: str, prompts: int, threshold: float = 0.5, channel: int | None = None) -> None:
        stack = open_stack(file, plane, channel)
        self.file, self.plane, self.channel, self.affine = file, plane, channel, stack.file_affine
        self.shape = (prompts, *stack.file_shape)
        self.stack_shape = stack.slices.shape  # slices, rows, columns
        self._assembly = Assembly(stack.slices.shape, prompts, threshold)
        self._pixels = np.zeros((prompts, len(stack.slices)), np.int64)
        self._existence = np.zeros(prompts)

    def add(self, index: int, probabilities: Tensor, existence: Sequence[float]) -> None:
        """Put in a slice.

        Args:
            index: its number, from 0.
            probabilities: ``(K, rows, columns)``.
            existence: K scores; that of the volume is the highest.
        """
        self._assembly.add(index, probabilities.cpu().float().numpy())
        self._pixels[:, index] = self._assembly.of_slice(index).sum(axis=(1, 2))
        self._existence = np.maximum(self._existence, existence)

    @property
    def complete(self) -> bool:
        """Whether all slices have been added."""
        return not self._assembly.missing()

    @property
    def existence(self) -> list[float]:
        """K scores from 0 to 1: those of the best slice of each prompt."""
        return [float(one) for one in self._existence]

    @property
    def pixels(self) -> list[int]:
        """Voxels of each mask."""
        return [int(one) for one in self._pixels.sum(axis=1)]

    def fullest(self) -> int:
        """Number of the slice in which the masks cover most, from 0; of the middle one where all are empty."""
        if not self._pixels.any():
            return self._pixels.shape[1] // 2
        found = np.flatnonzero(self._pixels.any(axis=0))
        covered = [np.count_nonzero(self.of_slice(int(index)).any(axis=0)) for index in found]
        return int(found[np.argmax(covered)])

    def of_slice(self, index: int) -> np.ndarray:
        """The masks of a slice as it is shown: bool ``(K, rows, columns)``."""
        return self._assembly.of_slice(index)

    def labels(self) -> np.ndarray:
        """The label map, ``(X, Y, Z)``, see `monai_vlsm.data.volumes.Assembly.labels`."""
        return from_stack(self._assembly.labels(), self.affine, self.plane)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, prompt: int) -> np.ndarray:
        return from_stack(self._assembly.mask(prompt).view(np.uint8), self.affine, self.plane)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[prompt] for prompt in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.stack(list(self)).astype(dtype or self.dtype, copy=False)
