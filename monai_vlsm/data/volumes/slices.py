# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Slices that lie in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from monai_vlsm.checked_files import Blocks
from monai_vlsm.io import WriteError

__all__ = ["Slices", "StoredSlices"]


class StoredSlices:
    """Slices ``(N, rows, columns)``, each of which is read and checked when it is asked for.

    Args:
        blocks: of the file.
        again: makes a file anew of which a slice, the number of which it gets, is gone or damaged.
    """

    ndim = 3

    def __init__(self, blocks: Blocks, again: Callable[[int], Blocks]) -> None:
        self._blocks, self._again = blocks, again
        self.dtype = np.dtype(blocks.about["dtype"])
        count, rows, columns = blocks.about["stack"]
        self.shape: tuple[int, int, int] = (count, rows, columns)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return map(self._read, range(len(self)))

    def __getitem__(self, index: Any) -> np.ndarray:
        """One slice ``(rows, columns)``; several ``(n, rows, columns)`` for a slice or a list of numbers.

        Raises:
            IndexError: no such slice.
            DatasetProblems: the file is gone or damaged, and the volume has changed since.
        """
        places = np.arange(len(self))[index]
        if places.ndim == 0:
            return self._read(int(places))
        several = np.empty((len(places), *self.shape[1:]), self.dtype)
        for at, place in enumerate(places):
            several[at] = self._read(int(place))
        return several

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All slices, for ``np.asarray``."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def _read(self, index: int) -> np.ndarray:
        block = self._blocks.read(index)
        if block is None:
            self._blocks = self._again(index)
            block = self._blocks.read(index)
        if block is None:
            raise WriteError(f"{self._blocks.path} is damaged as soon as it is written; have a look at the disk")
        return np.frombuffer(block, self.dtype).reshape(self.shape[1:])


Slices = np.ndarray | StoredSlices
"""Slices ``(N, rows, columns)``, in memory or in a file."""
