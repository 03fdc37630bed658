# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images in the fewest bytes that hold them exactly."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms.utils import reset_ops_id
from monai.utils import MetaKeys
from torch import Tensor

from monai_vlsm.transforms.naming import EIGHT_BIT, SHOWN_BY

__all__ = ["Packed", "pack", "unpack"]

Packed = dict[str, Any]
"""Tensors and plain values only, so that ``torch.load(weights_only=True)`` reads it."""

# what the transforms behind the cache read; a header's further entries may hold a patient's name
KEPT_META = (
    MetaKeys.AFFINE,
    MetaKeys.ORIGINAL_AFFINE,
    MetaKeys.ORIGINAL_CHANNEL_DIM,
    MetaKeys.SPACE,
    MetaKeys.SPATIAL_SHAPE,
    EIGHT_BIT,
    SHOWN_BY,
    "filename_or_obj",
)


def pack(image: Tensor) -> Packed:
    """The values of an image or mask as 1 bit each, 8 bits each, or as they are: the first that loses nothing.

    Args:
        image: any shape. float32 of 0 and 1 takes 1 bit per value, float32 of multiples of 1/255 in 0..1 takes 8 bits;
            all else is kept as it is.

    Returns:
        what `unpack` turns back into an equal tensor, with the part of the meta that transforms use and the stack of
        operations that ``Invertd`` needs.
    """
    plain = image.as_tensor() if isinstance(image, MetaTensor) else image
    packed: Packed = {"shape": list(plain.shape), **_values(plain)}
    if isinstance(image, MetaTensor):
        meta = {str(key): image.meta[key] for key in KEPT_META if key in image.meta}
        packed["meta"], packed["operations"] = _plain(meta), _plain(reset_ops_id(image.applied_operations))
    return packed


def unpack(packed: Packed) -> Tensor:
    """The tensor that `pack` got, in memory of its own."""
    image = _restored(packed)
    if "meta" not in packed:
        return image
    return MetaTensor(image, meta=_arrays(packed["meta"]), applied_operations=_arrays(packed["operations"]))


def _values(plain: Tensor) -> Packed:
    if plain.dtype != torch.float32:
        return {"kind": "same", "values": plain.clone()}
    if bool(((plain == 0) | (plain == 1)).all()):
        return {"kind": "bits", "values": torch.from_numpy(np.packbits(plain.numpy() > 0))}
    levels = (plain * 255).round()
    if bool((levels / 255 == plain).all()) and bool((plain >= 0).all()) and bool((plain <= 1).all()):
        return {"kind": "bytes", "values": levels.to(torch.uint8)}
    return {"kind": "same", "values": plain.clone()}


def _restored(packed: Packed) -> Tensor:
    values: Tensor = packed["values"]
    if packed["kind"] == "bytes":
        return values.float() / 255
    if packed["kind"] == "bits":
        bits = np.unpackbits(values.numpy(), count=int(np.prod(packed["shape"])))
        return torch.from_numpy(bits).float().reshape(packed["shape"])
    return values.clone()


def _plain(value: Any) -> Any:
    """Enums as their values, arrays as ``{"array": tensor}``, numbers as Python's; containers inside too."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_plain(entry) for entry in value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray):
        return {"array": torch.from_numpy(np.ascontiguousarray(value))}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor):
        return value.detach().clone()
    return str(value) if isinstance(value, Path) else value


def _arrays(value: Any) -> Any:
    """The inverse of `_plain` for arrays."""
    if isinstance(value, dict):
        if set(value) == {"array"}:
            return value["array"].numpy().copy()
        return {key: _arrays(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_arrays(entry) for entry in value)
    return value.clone() if isinstance(value, Tensor) else value
