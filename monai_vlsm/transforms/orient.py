# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Axes of volumes: slices as on a radiologist's screen, and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, TypeGuard, cast

import nibabel as nib
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.data.utils import to_affine_nd
from monai.transforms import InvertibleTransform, MapTransform, Orientation
from monai.utils import SpaceKeys, TraceKeys
from torch import Tensor

from monai_vlsm.data.slices import display_codes
from monai_vlsm.data.volumes import screen_codes
from monai_vlsm.transforms.naming import file_name, is_nifti

__all__ = ["OrientVolume", "OrientVolumeD", "OrientVolumeDict", "OrientVolumed"]

LABELS_LPS = (("R", "L"), ("A", "P"), ("I", "S"))  # ends of the axes when the affine points to L, P, S


def is_volume(image: Any) -> TypeGuard[MetaTensor]:
    """Whether an image has patient axes: any ``(C, X, Y, Z)`` with meta, and ``(C, X, Y)`` from a NIfTI file."""
    if not isinstance(image, MetaTensor):
        return False
    return image.ndim == 4 or (image.ndim == 3 and is_nifti(image))


def axis_codes(volume: MetaTensor) -> str:
    """Where the three axes of ``(C, X, Y, Z)`` point to, such as ``"RAS"``.

    Raises:
        ValueError: the affine is singular, so the axes point nowhere.
    """
    labels = LABELS_LPS if volume.meta.get("space") == SpaceKeys.LPS else None
    codes = nib.orientations.aff2axcodes(volume.affine.numpy(), labels=labels)
    if None in codes:
        raise ValueError(f"{file_name(volume)}: the affine must map three axes, got {volume.affine.tolist()}")
    return "".join(codes)


def with_three_axes(image: MetaTensor) -> MetaTensor:
    """``(C, X, Y)`` as ``(C, X, Y, 1)``; the affine is set anew because MONAI counts the axes from it."""
    if image.ndim == 4:
        return image
    volume = cast(MetaTensor, image.unsqueeze(-1))
    volume.affine = to_affine_nd(3, image.affine)
    return volume


def reorient(image: MetaTensor, axcodes: str) -> MetaTensor:
    """Permute and flip axes so that they point to ``axcodes``; leaves no trace in ``applied_operations``."""
    orientation = Orientation(axcodes=axcodes, labels=None)  # None: MONAI heeds the space of the affine
    with orientation.trace_transform(False):
        return cast(MetaTensor, orientation(image))


class OrientVolume(InvertibleTransform):
    """Turn volumes so that slices look as on a radiologist's screen; images pass untouched.

    In axial slices rows go from anterior to posterior, columns from the patient's right to left, slices from inferior
    to superior (`monai_vlsm.data.volumes.planes`). A single slice (``(C, X, Y)`` from NIfTI, or one axis of size 1)
    keeps its plane, with anterior or superior at the top and the patient's right or front at the left. The inverse
    restores the order of the array exactly; on data that ``__call__`` leaves alone it does nothing.

    Args:
        plane: of volumes, axial, coronal or sagittal; None and "all" are axial.

    Raises:
        ValueError: an unknown plane.
    """

    def __init__(self, plane: str | None = "axial") -> None:
        self.axcodes = screen_codes(plane)

    def __call__(self, img: Tensor) -> Tensor:
        """Turn one image.

        Args:
            img: ``(C, H, W)`` or ``(C, X, Y, Z)``; without meta (a plain tensor) nothing is known of its axes.

        Returns:
            an image with as many axes.

        Raises:
            ValueError: the affine is singular; the message names the file.
        """
        if not is_volume(img):
            return img
        volume = with_three_axes(img)
        codes = axis_codes(volume)
        turned = reorient(volume, display_codes(codes, volume.shape[1:], self.axcodes))
        out = turned if img.ndim == 4 else self._without_slice(turned)
        self.push_transform(out, orig_size=tuple(img.shape[1:]), extra_info={"axcodes": codes})
        return out

    def inverse(self, data: Tensor) -> Tensor:
        """Undo what ``__call__`` did to ``data``, or to the image whose meta and operations it carries."""
        if not is_volume(data):
            return data
        codes = self.pop_transform(data)[TraceKeys.EXTRA_INFO]["axcodes"]
        restored = reorient(with_three_axes(data), codes)
        return restored if data.ndim == 4 else self._without_slice(restored)

    @staticmethod
    def _without_slice(volume: MetaTensor) -> MetaTensor:
        image = cast(MetaTensor, volume.squeeze(-1))
        image.affine = volume.affine
        return image


class OrientVolumed(MapTransform, InvertibleTransform):
    """Dictionary version of :class:`OrientVolume`.

    Args:
        keys: keys of the images.
        plane: see :class:`OrientVolume`.
        allow_missing_keys: skip keys that a record lacks.
    """

    def __init__(self, keys: KeysCollection, plane: str | None = "axial", allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.orient = OrientVolume(plane)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn each key; errors as in :class:`OrientVolume`."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.orient(d[key])
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Undo it for each key."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.orient.inverse(d[key])
        return d


OrientVolumeD = OrientVolumeDict = OrientVolumed
