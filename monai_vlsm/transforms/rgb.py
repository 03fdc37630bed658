# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Any image or volume as three channels in 0..1."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection, NdarrayOrTensor
from monai.data import MetaTensor, get_track_meta
from monai.transforms import MapTransform, Transform
from monai.utils import convert_to_dst_type, convert_to_tensor
from torch import Tensor
from torch.utils.data import get_worker_info

from monai_vlsm.data.volumes import Address, Window, WindowError, parse_window, usual_range, value_range
from monai_vlsm.transforms.naming import (
    CONTEXT,
    EIGHT_BIT,
    RANGE,
    SHOWN,
    SHOWN_BY,
    USUAL_RANGE,
    WINDOW,
    file_name,
    has_unknown_unit,
)

__all__ = ["ToRGB", "ToRGBD", "ToRGBDict", "ToRGBd"]


BY_FILE, BY_RANGE, BY_TYPE = "window of the file", "range of the image", "8 bits"


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
    0 and 255 for uint8, 0 and 1 for bool; the lowest and highest value over all channels and slices, without NaN,
    infinity and the padding of CT. Of a slice of a volume these, and percentiles, are those of its whole volume. What
    comes out is never stretched to what a slice happens to hold.

    A volume whose unit nobody knows, since there is no window and the file is no DICOM, is told once, with the values
    that were taken: by the first process that meets one.

    Args:
        window: for types other than uint8 and bool: a name such as ``"abdomen"`` (`monai_vlsm.data.volumes.WINDOWS`),
            the lowest and highest value such as ``(-160, 240)``, ``"mr"`` for percentiles of the volume, or three of
            these, which make red, green and blue of a grey image; None takes that of the file, or its own range.
        slices: how many slices a network takes that lets them attend to one another; with 1, of a slice that comes
            with its neighbours (the ``context`` of a `monai_vlsm.data.volumes.Address`) the outermost two are red and
            blue, and itself is green.

    Raises:
        WindowError: a window that is none of these.
    """

    def __init__(self, window: Any = None, slices: int = 1) -> None:
        self.windows = parse_window(window)
        self.slices = slices
        self._told = torch.zeros((), dtype=torch.bool).share_memory_()  # by all workers of a run

    def __call__(self, img: NdarrayOrTensor) -> Tensor:
        """Convert one image.

        Args:
            img: ``(C, H, W)`` or ``(C, H, W, D)`` with 1 to 4 channels; or a slice and its neighbours ``(K, H, W)``.

        Returns:
            ``(3, H, W)`` or ``(3, H, W, D)``, or ``(3 slices, H, W)``, in which an image without neighbours is its own
            neighbour; float32, with the meta of the input, in which ``shown`` are the values
            that became black and white, ``(2,)`` or with three windows ``(3, 2)``; ``shown_by`` is what chose them, and
            ``eight_bit`` says whether the values are multiples of 1/255.

        Raises:
            ValueError: another number of channels or axes, an empty image, one without finite values, or three windows
                for one with colours; the message names the file.
        """
        image: Tensor = convert_to_tensor(img, track_meta=get_track_meta())
        name, plain = file_name(image), convert_to_tensor(image, track_meta=False)
        check_image(plain, name)
        reach = image.meta.get(CONTEXT, 0) if isinstance(image, MetaTensor) else 0
        colours = plain if reach else drop_alpha(plain, name)
        if not (colours.isfinite().any() or _is_slice(image)):  # other slices of its volume have numbers
            raise ValueError(f"{name}: the image has no finite value, expected numbers")
        ends, chosen_by = self._ends(image, colours)
        scaled = self._in_channels(_scaled(colours, ends, chosen_by), reach, name)
        out = convert_to_dst_type(scaled, image, dtype=torch.float32)[0]
        if isinstance(out, MetaTensor):
            for key in (WINDOW, RANGE, USUAL_RANGE, CONTEXT):
                out.meta.pop(key, None)  # the values that they are about are gone
            shown = np.array(ends[0] if len(ends) == 1 else ends)
            out.meta |= {SHOWN: shown, SHOWN_BY: chosen_by, EIGHT_BIT: chosen_by == BY_TYPE}
        return out

    def _in_channels(self, scaled: Tensor, reach: int, name: str) -> Tensor:
        """Values ``(W, C, ...)`` in W windows as the channels that a network takes.

        Args:
            scaled: C colours, or ``2 reach + 1`` slices.
            reach: how many neighbours there are on either side.
            name: of the image.
        """
        if not reach:
            image = scaled.flatten(0, 1).expand(3, *scaled.shape[2:])
            return image.repeat(self.slices, 1, 1) if image.ndim == 3 else image.contiguous()
        if self.slices == 1:
            return scaled[0, ::reach].contiguous()
        if self.slices != len(scaled[0]):
            raise ValueError(f"{name}: expected {self.slices} slices, as the network takes, got {len(scaled[0])}")
        return scaled.expand(3, *scaled.shape[1:]).transpose(0, 1).flatten(0, 1)

    def _ends(self, image: Tensor, colours: Tensor) -> tuple[list[tuple[float, float]], str]:
        """The values that become black and white, for each window there is, and what chose them."""
        meta = image.meta if isinstance(image, MetaTensor) else {}
        top = {torch.uint8: 255.0, torch.bool: 1.0}.get(colours.dtype)
        if self.windows and (top is None or WINDOW in meta):
            if len(self.windows) > 1 and colours.shape[0] > 1 and self.slices == 1:
                raise WindowError(
                    f"{file_name(image)}: three windows make three channels of one, and it has {colours.shape[0]}; "
                    "give one window"
                )
            return [_ends_of(one, colours, meta) for one in self.windows], ", ".join(map(str, self.windows))
        if WINDOW in meta:
            return [_pair(meta[WINDOW])], BY_FILE
        if top is not None and RANGE not in meta:
            return [(0.0, top)], BY_TYPE
        ends = _pair(meta[RANGE]) if RANGE in meta else value_range(colours.cpu().numpy())
        if has_unknown_unit(image) and top is None:
            self._tell(Address.of(file_name(image)).file, *ends)
        return [ends], BY_RANGE

    def _tell(self, name: str, low: float, high: float) -> None:
        """Warn of a volume without known units, once for all processes of a run."""
        worker = get_worker_info()
        if self._told or (worker is not None and worker.id > 0):
            return
        self._told.fill_(True)
        warnings.warn(
            f"{name}: nothing says what its values mean, so its lowest and highest, {low:g} and {high:g}, become black "
            "and white, and likewise of all such volumes. Better give a window: for CT --window soft_tissue, another "
            "name or LOW and HIGH, for MR --window mr",
            stacklevel=4,
        )


def _is_slice(image: Tensor) -> bool:
    return isinstance(image, MetaTensor) and RANGE in image.meta


def _scaled(colours: Tensor, ends: list[tuple[float, float]], chosen_by: str) -> Tensor:
    """``(W, C, ...)`` for W pairs of ends, float32 within 0..1."""
    if chosen_by == BY_TYPE:
        return colours.float()[None] / ends[0][1]
    return torch.stack([in_range(colours, low, high) for low, high in ends])


def _pair(values: Any) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _ends_of(window: Window, colours: Tensor, meta: Mapping[str, Any]) -> tuple[float, float]:
    if window.ends is not None:
        return window.ends
    if USUAL_RANGE in meta:
        return _pair(meta[USUAL_RANGE])
    values = colours.float().cpu().numpy()
    return usual_range(values, value_range(values)[0])


class ToRGBd(MapTransform):
    """Dictionary version of :class:`ToRGB`.

    Args:
        keys: keys of the images.
        window: see :class:`ToRGB`.
        slices: likewise.
        allow_missing_keys: skip keys that a record lacks.
    """

    def __init__(
        self,
        keys: KeysCollection,
        window: Any = None,
        slices: int = 1,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.convert = ToRGB(window, slices)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Convert each key; errors as in :class:`ToRGB`."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.convert(d[key])
        return d


ToRGBD = ToRGBDict = ToRGBd
