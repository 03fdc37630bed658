# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Any picture or volume as three channels in 0..1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor

from monai_vlsm.transforms.naming import EIGHT_BIT, file_name

__all__ = ["ToRGB", "ToRGBD", "ToRGBDict", "ToRGBd"]


def check_picture(image: Tensor, name: str) -> None:
    """Raise ValueError unless ``image`` is a non-empty ``(C, H, W)`` or ``(C, H, W, D)``."""
    if image.ndim not in (3, 4):
        raise ValueError(f"{name}: expected (channels, rows, columns[, slices]), got shape {tuple(image.shape)}")
    if image.numel() == 0:
        raise ValueError(f"{name}: the image is empty, got shape {tuple(image.shape)}")


def drop_alpha(image: Tensor, name: str) -> Tensor:
    """The colour channels, 1 or 3, of grey, grey with alpha, RGB or RGBA.

    Raises:
        ValueError: any other number of channels.
    """
    channels = image.shape[0]
    if channels not in (1, 2, 3, 4):
        raise ValueError(
            f"{name}: expected 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA) channels first, "
            f"got {channels} in shape {tuple(image.shape)}"
        )
    return image[: channels - 1] if channels in (2, 4) else image


def unit_range(image: Tensor, window: tuple[float, float] | None, name: str) -> Tensor:
    """Scale to float32 in 0..1: bool as it is, uint8 by 255, other types by ``window`` or by their own range.

    The own range is that of the finite values. NaN and -inf become its minimum (medical NIfTI files mark the
    background with NaN), +inf its maximum. A constant image becomes 0.

    Raises:
        ValueError: no finite value at all.
    """
    if image.dtype in (torch.bool, torch.uint8):
        return image.float() / (255 if image.dtype == torch.uint8 else 1)
    image = image.float()
    finite = image[image.isfinite()]
    if finite.numel() == 0:
        raise ValueError(f"{name}: the image has no finite value, expected numbers")
    low, high = window or (finite.min().item(), finite.max().item())
    image = image.nan_to_num(nan=low, posinf=high, neginf=low).clip(low, high)
    return (image - low) / (high - low) if high > low else torch.zeros_like(image)


class ToRGB(Transform):
    """Any picture or volume to three channels of float32 in 0..1.

    One channel is repeated; an alpha channel (2 or 4 channels) is dropped. uint8 is divided by 255 and bool taken as it
    is; other types are scaled by ``window``, or from their own minimum and maximum over all channels and slices. NaN
    counts as the minimum.

    Args:
        window: lowest and highest value of types other than uint8 and bool, such as ``(-160, 240)`` Hounsfield
            units; None takes each image's own range.

    Raises:
        ValueError: a window whose low end is not below its high end.
    """

    def __init__(self, window: tuple[float, float] | None = None) -> None:
        if window is not None and not (len(window) == 2 and window[0] < window[1]):
            raise ValueError(f"window must be (low, high) with low < high, got {window}")
        self.window = None if window is None else (float(window[0]), float(window[1]))

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """Convert one image.

        Args:
            img: ``(C, H, W)`` or ``(C, H, W, D)`` with 1 to 4 channels.

        Returns:
            ``(3, H, W)`` or ``(3, H, W, D)``, float32, with the meta of the input, in which ``eight_bit`` says
            whether the values are multiples of 1/255.

        Raises:
            ValueError: another number of channels or axes, an empty image, or one without finite values; the message
                names the file.
        """
        image: Tensor = convert_to_tensor(img, track_meta=get_track_meta())
        name, plain = file_name(image), convert_to_tensor(image, track_meta=False)
        check_picture(plain, name)
        scaled = unit_range(drop_alpha(plain, name), self.window, name)
        scaled = scaled.expand(3, *scaled.shape[1:]).contiguous()
        out = convert_to_dst_type(scaled, image, dtype=torch.float32)[0]
        if isinstance(out, MetaTensor):
            out.meta[EIGHT_BIT] = plain.dtype in (torch.bool, torch.uint8)
        return out


class ToRGBd(MapTransform):
    """Dictionary version of :class:`ToRGB`.

    Args:
        keys: keys of the images.
        window: see :class:`ToRGB`.
        allow_missing_keys: skip keys that a record lacks.
    """

    def __init__(
        self,
        keys: KeysCollection,
        window: tuple[float, float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.convert = ToRGB(window)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert each key; errors as in :class:`ToRGB`."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.convert(d[key])
        return d


ToRGBD = ToRGBDict = ToRGBd
