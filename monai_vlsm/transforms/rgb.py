# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Any image or volume as three channels in 0..1."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor

from monai_vlsm.data.volumes import value_range
from monai_vlsm.transforms.naming import EIGHT_BIT, RANGE, SHOWN, SHOWN_BY, WINDOW, file_name

__all__ = ["ToRGB", "ToRGBD", "ToRGBDict", "ToRGBd"]


BY_USER, BY_FILE, BY_RANGE, BY_TYPE = "window of the user", "window of the file", "range of the image", "8 bits"


def check_image(image: Tensor, name: str) -> None:
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


def in_range(image: Tensor, low: float, high: float) -> Tensor:
    """Scale to float32 in 0..1; what is below ``low``, NaN and -inf become 0, above ``high`` and +inf 1.

    Medical NIfTI files mark the background with NaN. A range without width gives 0.
    """
    image = image.float().nan_to_num(nan=low, posinf=high, neginf=low).clip(low, high)
    return (image - low) / (high - low) if high > low else torch.zeros_like(image)


class ToRGB(Transform):
    """Any image or volume to three channels of float32 in 0..1.

    One channel is repeated; an alpha channel (2 or 4 channels) is dropped. Black and white are the ends of the first of
    these that there is: ``window``, for types other than uint8 and bool; the window of the file, in the meta of DICOM;
    0 and 255 for uint8, 0 and 1 for bool; the image's own lowest and highest value over all channels and slices,
    without NaN, infinity and the padding of CT.

    Args:
        window: lowest and highest value of types other than uint8 and bool, such as ``(-160, 240)`` Hounsfield
            units; None takes that of the file, or each image's own range.

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
            ``(3, H, W)`` or ``(3, H, W, D)``, float32, with the meta of the input, in which ``shown`` are the values
            that became black and white, ``shown_by`` is what chose them, and ``eight_bit`` says whether the values are
            multiples of 1/255.

        Raises:
            ValueError: another number of channels or axes, an empty image, or one without finite values; the message
                names the file.
        """
        image: Tensor = convert_to_tensor(img, track_meta=get_track_meta())
        name, plain = file_name(image), convert_to_tensor(image, track_meta=False)
        check_image(plain, name)
        colours = drop_alpha(plain, name)
        if not colours.isfinite().any():
            raise ValueError(f"{name}: the image has no finite value, expected numbers")
        low, high, chosen_by = self._ends(image, colours)
        scaled = in_range(colours, low, high) if chosen_by != BY_TYPE else colours.float() / high
        scaled = scaled.expand(3, *scaled.shape[1:]).contiguous()
        out = convert_to_dst_type(scaled, image, dtype=torch.float32)[0]
        if isinstance(out, MetaTensor):
            for key in (WINDOW, RANGE):
                out.meta.pop(key, None)  # the values that they are about are gone
            out.meta |= {SHOWN: np.array([low, high]), SHOWN_BY: chosen_by, EIGHT_BIT: chosen_by == BY_TYPE}
        return out

    def _ends(self, image: Tensor, colours: Tensor) -> tuple[float, float, str]:
        """The values that become black and white, and what chose them."""
        meta = image.meta if isinstance(image, MetaTensor) else {}
        top = {torch.uint8: 255.0, torch.bool: 1.0}.get(colours.dtype)
        if self.window is not None and (top is None or WINDOW in meta):
            return *self.window, BY_USER
        for key, chosen_by in ((WINDOW, BY_FILE), (RANGE, BY_RANGE)):
            if key in meta:
                return float(meta[key][0]), float(meta[key][1]), chosen_by
        if top is not None:
            return 0.0, top, BY_TYPE
        return *value_range(colours.float().cpu().numpy()), BY_RANGE


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
