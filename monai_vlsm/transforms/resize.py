# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Square images for the network, and predictions back at the original size."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor, get_track_meta
from monai.transforms import InvertibleTransform, MapTransform
from monai.transforms.utils import scale_affine
from monai.utils import TraceKeys, convert_to_dst_type, convert_to_tensor, ensure_tuple_rep
from torch import Tensor
from torch.nn.functional import interpolate

from monai_vlsm.transforms.naming import EIGHT_BIT, file_name

__all__ = ["ResizeImage", "ResizeImageD", "ResizeImageDict", "ResizeImaged"]

MODES = ("bilinear", "nearest")


def resample(image: Tensor, size: Sequence[int], mode: str, antialias: bool) -> Tensor:
    """Resize rows and columns of ``(C, H, W)`` or ``(C, H, W, D)`` to ``size``; slices do not mix.

    ``nearest`` takes the pixel whose centre is nearest, so that masks stay aligned with bilinear images.
    """
    planes = image.movedim(-1, 0) if image.ndim == 4 else image[None]
    method: dict[str, Any] = (
        {"mode": "bilinear", "antialias": antialias} if mode == "bilinear" else {"mode": "nearest-exact"}
    )
    planes = interpolate(planes.float(), size=tuple(size), **method)
    return planes.movedim(0, -1).contiguous() if image.ndim == 4 else planes[0]


class ResizeImage(InvertibleTransform):
    """Resize rows and columns to a square; the inverse brings predictions back to the original size.

    MONAI's ``Resize(anti_aliasing=True)`` smooths with zeros beyond the border and so darkens it (to 0.85 in the corner
    of a white 1024 x 800 image at 352 pixels); here torch's antialiased bilinear is used, which does not.

    An image of 8 bits, as ``ToRGB`` marks it, stays one: its new values are rounded to multiples of 1/255, as imaging
    libraries do (the authors resize with OpenCV), so that it can be kept in 8 bits without loss.

    Args:
        size: rows and columns of the result, in pixels.
        mode: ``"bilinear"`` (antialiased when it makes the image smaller) or ``"nearest"``.

    Raises:
        ValueError: a size below 1 or an unknown mode.
    """

    def __init__(self, size: int, mode: str = "bilinear") -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1 pixel, got {size}")
        self.size = (size, size)
        self.mode = self._checked(mode)

    @staticmethod
    def _checked(mode: str) -> str:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        return mode

    def __call__(self, img: Tensor, mode: str | None = None) -> Tensor:
        """Resize one image.

        Args:
            img: ``(C, H, W)`` or ``(C, H, W, D)``.
            mode: instead of the transform's own mode.

        Returns:
            ``(C, size, size)`` or ``(C, size, size, D)``, float32.

        Raises:
            ValueError: an unknown mode, or a wrong number of axes.
        """
        mode = self._checked(mode or self.mode)
        if img.ndim not in (3, 4):
            raise ValueError(f"{file_name(img)}: expected (C, H, W) or (C, H, W, D), got shape {tuple(img.shape)}")
        img = convert_to_tensor(img, track_meta=get_track_meta())
        plain = convert_to_tensor(img, track_meta=False)
        resized = resample(plain, self.size, mode, antialias=True)
        if mode == "bilinear" and isinstance(img, MetaTensor) and img.meta.get(EIGHT_BIT) is True:
            resized = (resized * 255).round() / 255
        return self._traced(img, resized, mode)

    def _traced(self, img: Tensor, resized: Tensor, mode: str) -> Tensor:
        """``resized`` with the meta of ``img``, its affine rescaled and this operation on its stack."""
        old, new = tuple(img.shape[1:]), tuple(resized.shape[1:])
        meta = self.track_transform_meta(
            img,
            sp_size=new,
            affine=scale_affine(old, new),
            extra_info={"mode": mode},
            orig_size=old,
            transform_info=self.get_transform_info(),
        )
        out = convert_to_dst_type(resized, img, dtype=torch.float32)[0]
        return out.copy_meta_from(meta) if isinstance(out, MetaTensor) else out

    def inverse(self, data: Tensor) -> Tensor:
        """Bring ``data`` back to the size before ``__call__``, in the same mode but without antialiasing."""
        transform = self.pop_transform(data)
        size, mode = transform[TraceKeys.ORIG_SIZE][:2], transform[TraceKeys.EXTRA_INFO]["mode"]
        restored = resample(convert_to_tensor(data, track_meta=False), size, mode, antialias=False)
        with self.trace_transform(False):
            return self._traced(data, restored, mode)


class ResizeImaged(MapTransform, InvertibleTransform):
    """Dictionary version of :class:`ResizeImage`.

    Args:
        keys: keys of the images.
        size: rows and columns of the result, in pixels.
        mode: one mode, or one for each key.
        allow_missing_keys: skip keys that a record lacks.

    Raises:
        ValueError: an unknown mode, or not one for each key.
    """

    def __init__(
        self,
        keys: KeysCollection,
        size: int,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.resizers = [ResizeImage(size, one) for one in ensure_tuple_rep(mode, len(self.keys))]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Resize each key; errors as in :class:`ResizeImage`."""
        d = dict(data)
        for key, resizer in self.key_iterator(d, self.resizers):
            d[key] = resizer(d[key])
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Undo it for each key."""
        d = dict(data)
        for key, resizer in self.key_iterator(d, self.resizers):
            d[key] = resizer.inverse(d[key])
        return d


ResizeImageD = ResizeImageDict = ResizeImaged
