# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks of 0 and 1, whatever two values their files use."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor

from monai_vlsm.transforms.naming import file_name
from monai_vlsm.transforms.rgb import check_picture

__all__ = ["BinarizeMask", "BinarizeMaskD", "BinarizeMaskDict", "BinarizeMaskd"]

NOISE_MIN, NOISE_MAX = 2, 20  # largest values that are noise of an empty JPEG mask


def foreground(channel: Tensor, name: str) -> Tensor:
    """Bool mask of one channel, see :class:`BinarizeMask` for the rule.

    Raises:
        ValueError: values below zero, or values that are not finite.
    """
    if channel.dtype == torch.bool:
        return channel
    channel = channel.double()
    low, high = channel.min().item(), channel.max().item()
    if not (channel.isfinite().all() and low >= 0):
        raise ValueError(f"{name}: a mask must hold finite values of 0 and more, got {low:g} to {high:g}")
    if low == high:
        return torch.full_like(channel, high > 0, dtype=torch.bool)
    if NOISE_MIN <= high <= NOISE_MAX:
        return torch.zeros_like(channel, dtype=torch.bool)
    return channel > high / 2


class BinarizeMask(Transform):
    """A mask as its file holds it (0/1, 0/255, JPEG noise around 0 and 255, palette) to 0 and 1.

    The rule, for each channel by its own largest value:

    ============================  ==========================================================================
    values of the channel         mask
    ============================  ==========================================================================
    all zero                      empty
    one same value above zero     full
    largest value below 2         foreground above half of it (0/1 masks, probabilities, resampled 0/1 masks)
    largest value from 2 to 20    empty: this is the noise of an empty JPEG mask
    largest value above 20        foreground above half of it (0/255 masks, with JPEG noise or not)
    ============================  ==========================================================================

    Label maps (several structures as 1, 2, 3...) are not binary masks; split them before.
    """

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """Binarize each channel.

        Args:
            img: ``(K, H, W)`` or ``(K, H, W, D)`` of any type.

        Returns:
            the same shape, float32 of 0 and 1, with the meta of the input.

        Raises:
            ValueError: negative or non-finite values, a wrong number of axes, or an empty array; the message names the
                file.
        """
        image: Tensor = convert_to_tensor(img, track_meta=get_track_meta())
        name, plain = file_name(image, default="mask"), convert_to_tensor(image, track_meta=False)
        check_picture(plain, name)
        mask = torch.stack([foreground(channel, name) for channel in plain])
        return convert_to_dst_type(mask, image, dtype=torch.float32)[0]


class BinarizeMaskd(MapTransform):
    """Dictionary version of :class:`BinarizeMask`.

    Args:
        keys: keys of the masks.
        allow_missing_keys: skip keys that a record lacks.
    """

    def __init__(self, keys: KeysCollection, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.binarize = BinarizeMask()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Binarize each key; errors as in :class:`BinarizeMask`."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.binarize(d[key])
        return d


BinarizeMaskD = BinarizeMaskDict = BinarizeMaskd
