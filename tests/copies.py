# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Copies of one network, for all tests that need one of their own; `copy.deepcopy` goes through it in Python."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

from torch import Tensor


class _Writer(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.tensors: dict[int, Tensor] = {}

    def persistent_id(self, value: Any) -> int | None:
        if not isinstance(value, Tensor):
            return None
        self.tensors[id(value)] = value
        return id(value)


class _Reader(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, tensors: dict[int, Tensor]) -> None:
        super().__init__(file)
        self.tensors = tensors

    def persistent_load(self, number: int) -> Tensor:
        return self.tensors[number]


class Original:
    """Something with tensors in it, of which copies are asked for; it must not change any more."""

    def __init__(self, value: Any) -> None:
        file = io.BytesIO()
        writer = _Writer(file)
        writer.dump(value)
        self._rest, self._tensors = file.getvalue(), writer.tensors

    def copy(self) -> Any:
        """With tensors of its own; those that were one tensor, or shared memory, do so again."""
        return _Reader(io.BytesIO(self._rest), copy.deepcopy(self._tensors)).load()
