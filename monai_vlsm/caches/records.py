# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records after their transforms, small enough to hold all of a data set in memory."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

__all__ = ["PackedMask", "pack_masks", "unpack_masks", "without_values"]


@dataclass(frozen=True)
class PackedMask:
    """A mask of 0 and 1 with one bit for each pixel.

    Args:
        bits: the pixels, eight in a byte.
        shape: of the mask.
        empty: a tensor without values that has the type and, if there is any, the meta of the mask.
    """

    bits: np.ndarray
    shape: tuple[int, ...]
    empty: Tensor

    def mask(self) -> Tensor:
        """The mask as it was."""
        values = np.unpackbits(self.bits, count=int(np.prod(self.shape))).reshape(self.shape)
        return with_values(self.empty, torch.from_numpy(values).to(self.empty.dtype))


def without_values(tensor: Tensor) -> Tensor:
    """A tensor of the same type without values that keeps the meta."""
    plain = tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
    return with_values(tensor, plain.new_empty(0))


def with_values(like: Tensor, values: Tensor) -> Tensor:
    """``values`` with a copy of the meta of ``like``, if it has any."""
    if not isinstance(like, MetaTensor):
        return values
    out = MetaTensor(values)
    out.__dict__.update(deepcopy(like.__dict__))
    return out


def pack_masks(item: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    """An item with all its masks packed; other values stay as they are."""
    return {key: _packed(value) for key, value in item.items()}


def unpack_masks(item: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
    """What was given to `pack_masks`, as copies."""
    return {key: value.mask() if isinstance(value, PackedMask) else deepcopy(value) for key, value in item.items()}


def _packed(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.dtype != torch.float32 or value.numel() == 0:
        return value
    plain = value.as_tensor() if isinstance(value, MetaTensor) else value
    if not bool(((plain == 0) | (plain == 1)).all()):
        return value
    return PackedMask(np.packbits(plain.bool().numpy()), tuple(plain.shape), without_values(value))
