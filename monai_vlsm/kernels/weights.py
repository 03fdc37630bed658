# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Frozen weights in the form and type that products are calculated in, made once instead of in each step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

__all__ = ["PreparedWeights"]

_State = tuple[Any, ...]


class PreparedWeights:
    """What was made of frozen weights, kept for as long as they live and do not change.

    torch's autocast casts a weight that needs no gradient again whenever it is used. Networks that share the memory of
    a weight do not share what is kept here; it belongs to the ``Parameter``.

    A change is noticed when it moves the weight or counts as one for autograd (``load_state_dict``, an optimizer,
    operations in place). Writing through ``weight.data`` is not noticed, as autograd would not notice it either.
    """

    def __init__(self) -> None:
        self._kept: Any = WeakTensorKeyDictionary()

    def __len__(self) -> int:
        """For how many groups of weights something is kept."""
        return len(self._kept)

    def get(
        self, weights: Sequence[Tensor], dtype: torch.dtype, make: Callable[[], Sequence[Tensor]]
    ) -> Sequence[Tensor]:
        """What ``make`` returned for these weights, cast and detached; the first of them holds it.

        Args:
            weights: what ``make`` reads. The same first weight must always come with the same ``make``.
            dtype: type of the result.
            make: called when nothing is kept for this type, or when one of the weights has changed.
        """
        state: _State = (dtype, *((weight.data_ptr(), weight._version) for weight in weights))
        kept: tuple[_State, Sequence[Tensor]] | None = self._kept.get(weights[0])
        if kept is None or kept[0] != state:
            kept = (state, [tensor.detach().to(dtype) for tensor in make()])
            self._kept[weights[0]] = kept
        return kept[1]
