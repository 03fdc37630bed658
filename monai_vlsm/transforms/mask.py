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
from monai_vlsm.transforms.rgb import check_image

__all__ = ["BinarizeMask", "BinarizeMaskD", "BinarizeMaskDict", "BinarizeMaskd"]

LABELS_MAX = 20  # up to here, more than two whole numbers are labels, as in `monai_vlsm.data.levels`


def foreground(channel: Tensor, name: str) -> Tensor:
    """Bool mask of one channel, see :class:`BinarizeMask` for the rule.

    Raises:
        ValueError: values below zero, values that are not finite, or a label map.
    """
    if channel.dtype == torch.bool:
        return channel
    channel = channel.double()
    low, high = channel.min().item(), channel.max().item()
    if not (channel.isfinite().all() and low >= 0):
        raise ValueError(f"{name}: a mask must hold finite values of 0 and more, got {low:g} to {high:g}")
    if low == high:
        return torch.full_like(channel, high > 0, dtype=torch.bool)
    if 2 <= high <= LABELS_MAX and _are_labels(channel):
        raise ValueError(
            f"{name}: a mask must have two values, got a label map, or noise of JPEG, of whole numbers from {low:g} to "
            f"{high:g}: write one mask for each label, and read masks with ImageFileReader('mask'), which knows JPEG"
        )
    return channel > high / 2


def _are_labels(channel: Tensor) -> bool:
    values = channel.unique()
    return len(values) > 2 and torch.equal(values, values.round())


class BinarizeMask(Transform):
    """A mask as its file holds it (0/1, 0/5, 0/255, JPEG noise around 0 and 255, palette) to 0 and 1.

    The rule, for each channel by its own largest value:

    ============================================  ===================================================
    values of the channel                         mask
    ============================================  ===================================================
    all zero                                      empty
    one same value above zero                     full
    more than two whole numbers, none above 20    refused: a label map (several structures as 1, 2...)
    any other                                     foreground above half of the largest value
    ============================================  ===================================================

    So whatever value a structure has, it is there. Noise of an empty JPEG mask is taken away by whoever reads the file
    (:class:`monai_vlsm.data.ImageFileReader`), since here nobody knows what the file was. Other label maps are found by
    :func:`monai_vlsm.data.binary_fault`; split them before.
    """

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """Binarize each channel.

        Args:
            img: ``(K, H, W)`` or ``(K, H, W, D)`` of any type.

        Returns:
            the same shape, float32 of 0 and 1, with the meta of the input.

        Raises:
            ValueError: negative or non-finite values, a label map, a wrong number of axes, or an empty array; the
                message names the file.
        """
        image: Tensor = convert_to_tensor(img, track_meta=get_track_meta())
        name, plain = file_name(image, default="mask"), convert_to_tensor(image, track_meta=False)
        check_image(plain, name)
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
