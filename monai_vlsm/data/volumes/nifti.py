# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""NIfTI files, by nibabel."""

from __future__ import annotations

import gzip
import math
import mmap
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data.utils import correct_nifti_header_if_necessary
from monai.utils import MetaKeys, SpaceKeys
from nibabel.spatialimages import HeaderDataError

from monai_vlsm.counts import counted
from monai_vlsm.data.formats import file_kind

__all__ = ["SeveralVolumesError", "chosen_channel", "read_channel", "read_volume", "shape_of", "volumes_in"]

_GZIP = b"\x1f\x8b"
_NIFTI2 = (b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # 540, the size of its header, in either order of bytes
_DISPLACEMENTS = 1006  # intent code, nifti1.h: three numbers for each voxel that are no colour
_COLOURS = ("R", "G", "B")
_DAMAGED = "a file that was cut short or damaged; copy or download it again"
_DEFLATED = 1032  # bytes that one byte of gzip can stand for
_FLAT = 1e-4  # volume of three directions of length 1 below which they lie in a plane


def read_volume(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The one volume of a NIfTI file, whatever its suffix, with its native axes.

    Returns:
        ``(X, Y[, Z])``, colour is the last axis; and the metadata: affine, ``xyzt_units``, and ``oriented``, which is
        whether the file says how the patient lies; where sform and qform disagree, ``qform`` is the affine that is not
        used.

    Raises:
        SeveralVolumesError: several volumes; `read_channel` reads one.
        ValueError: values that are neither numbers nor colours, or an affine that maps all voxels to
            a plane, a line or nowhere.
    """
    with _opened(path) as image:
        array = _numbers(_one_volume(np.asanyarray(image.dataobj), int(image.header["intent_code"])))
    axes = min(len(image.shape), 3)
    meta = _meta(image, axes)
    return array, {**meta, MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if array.ndim == axes else -1}


def read_channel(path: Path, channel: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """One volume of a NIfTI file of grey values, of which no more than that is ever in memory.

    Args:
        path: of the file.
        channel: which volume of a file of several.

    Returns:
        ``(X, Y, Z)`` in the type of the file, or of floats where the file scales its integers; and the metadata of
        `read_volume`, with ``channels``, the number of volumes.

    Raises:
        ValueError: as `read_volume`; several volumes and no channel, or a channel that the file does not have.
    """
    with _opened(path) as image:
        source: Any = image.dataobj
        shape = (*image.shape, 1, 1)[: max(len(image.shape), 4)]
        if len(shape) > 4 or source.dtype.kind not in "biuf":
            raise ValueError(f"values of type {source.dtype}, shape {image.shape}; expected one number for each voxel")
        which = chosen_channel(channel, shape[3])
        array = _own_pages(shape[:3], _type(source))
        for index in range(shape[2]):  # as they lie in the file
            at = (..., *(index, which)[: max(len(image.shape) - 2, 0)])
            array[:, :, index] = source[at]
    return array, {**_meta(image, 3), "channels": shape[3]}


def volumes_in(path: str | PathLike[str]) -> int:
    """How many volumes a NIfTI file has by its header; 1 for whatever cannot be read as one."""
    return (*shape_of(path), 1, 1, 1, 1)[3]


def shape_of(path: str | PathLike[str]) -> tuple[int, ...]:
    """The axes of a NIfTI file by its header, named colours as a fifth; none of whatever cannot be read as one."""
    if file_kind(path) != "volume":  # nibabel would complain of it on the way
        return ()
    try:
        with _opened(Path(path)) as image:
            shape = tuple(map(int, image.shape))
            return (*(*shape, 1, 1, 1)[:4], 3) if image.get_data_dtype().names else shape
    except Exception:  # of another format, or faulty, which reading it says
        return ()


class SeveralVolumesError(ValueError):
    """A file of several volumes, of which none is named."""

    def __init__(self, channels: int) -> None:
        self.channels = channels
        super().__init__(f"{channels} volumes; give FILE::channel=0 .. {channels - 1}, or --channel")


def _own_pages(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """An array whose memory the system gets back as soon as it is gone; that of threads, malloc keeps."""
    pages = mmap.mmap(-1, max(math.prod(shape) * dtype.itemsize, 1))
    return np.frombuffer(pages, dtype, math.prod(shape)).reshape(shape, order="F")


def chosen_channel(channel: int | None, channels: int) -> int:
    """Which of several volumes of a file is meant.

    Raises:
        SeveralVolumesError: that is not said.
        ValueError: there is no such one.
    """
    if channel is None and channels > 1:
        raise SeveralVolumesError(channels)
    if (channel or 0) >= channels:
        raise ValueError(f"no channel {channel}: it has {counted(channels, 'volume')}, counted from 0")
    return channel or 0


def _type(source: Any) -> np.dtype[Any]:
    """The type that holds the values of a file."""
    scaled = (source.slope, source.inter) != (1, 0)
    kept = np.result_type(source.dtype, np.float32) if scaled else source.dtype
    return min(np.dtype(kept).newbyteorder("="), np.dtype(np.float64), key=lambda one: one.itemsize)


@contextmanager
def _opened(path: Path) -> Iterator[nib.Nifti1Image]:
    """A file whose values are not read yet.

    Raises:
        ValueError: a file that is cut short or damaged.
    """
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP
        raw.seek(0)
        with gzip.open(raw) if zipped else raw as file:
            try:
                image = _described(file)
                _require_axes(image.shape)
                _require_places(image.affine)  # before the correction, which makes up what is missing
                _require_length(path, zipped, image)
                yield correct_nifti_header_if_necessary(image)
                file.read(1)  # the end of a gzip file has its checksum
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise ValueError(_DAMAGED) from error


def _described(file: Any) -> Any:
    """The file as its header tells of it."""
    kind = nib.Nifti2Image if file.read(4) in _NIFTI2 else nib.Nifti1Image
    file.seek(0)
    try:
        return kind.from_stream(file)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        raise
    except Exception as error:  # nibabel raises many kinds on numbers that mean nothing
        raise ValueError(f"a header that is damaged or not of NIfTI ({error}); copy or download it again") from error


def _require_axes(shape: tuple[int, ...]) -> None:
    if len(shape) < 2 or min(shape) < 1:
        raise ValueError(f"an array of shape {shape}, which is no image or volume")


def _require_length(path: Path, zipped: bool, image: nib.Nifti1Image) -> None:
    """A file has as many bytes as its header tells of; of a compressed one, as many as it could unpack to."""
    values: Any = image.dataobj
    if path.stat().st_size * (_DEFLATED if zipped else 1) < values.offset + values.dtype.itemsize * math.prod(
        values.shape
    ):
        raise ValueError(_DAMAGED)


def _meta(image: nib.Nifti1Image, axes: int) -> dict[str, Any]:
    return {
        MetaKeys.AFFINE: np.array(image.affine),
        MetaKeys.ORIGINAL_AFFINE: np.array(image.affine),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.SPATIAL_SHAPE: np.array(image.shape[:axes]),
        "xyzt_units": int(image.header["xyzt_units"]),
        "oriented": any(int(image.header[code]) > 0 for code in ("qform_code", "sform_code")),
        **_second_affine(image),
    }


def _require_places(affine: np.ndarray) -> None:
    """The three directions of the voxels must be directions, and different ones."""
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    usable = np.isfinite(affine).all() and (lengths > 0).all()
    if not usable or abs(np.linalg.det(affine[:3, :3] / lengths)) < _FLAT:
        raise ValueError(f"a singular affine, {np.round(affine[:3], 6).tolist()}; write one that maps three axes")


def _second_affine(image: nib.Nifti1Image) -> dict[str, np.ndarray]:
    """The qform, if it puts a corner of the volume half a voxel or more from where the sform has it."""
    try:
        (qform, qcode), (sform, scode) = image.get_qform(coded=True), image.get_sform(coded=True)
    except (ValueError, HeaderDataError):  # a damaged qform, which nobody asked for
        return {}
    if not (qcode and scode):
        return {}
    size = np.array([*image.shape[:3], 1, 1])[:3]
    corners = np.array([(*(size - 1) * corner, 1) for corner in np.ndindex(2, 2, 2)])
    apart = np.linalg.norm(corners @ (qform - sform).T, axis=1).max()
    return {"qform": qform} if apart >= np.linalg.norm(sform[:3, :3], axis=0).min() / 2 else {}


def _numbers(array: np.ndarray) -> np.ndarray:
    """The array, with named colours as another axis; opacity does not count."""
    if array.dtype.names is not None and set(_COLOURS) <= set(array.dtype.names):
        return np.stack([array[name] for name in _COLOURS], axis=-1)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"values of type {array.dtype}; save them as integers or floats")
    return array


def _one_volume(array: np.ndarray, intent: int) -> np.ndarray:
    """``(X, Y[, Z][, C])`` of ``(X, Y[, Z[, 1[, C]]])``: colour is a fifth axis, as ITK and MONAI Label write it."""
    if array.ndim > 5 or (array.ndim == 5 and intent == _DISPLACEMENTS):
        raise ValueError(f"an array of shape {array.shape}, which is no image or volume")
    if array.ndim >= 4 and array.shape[3] != 1:
        raise SeveralVolumesError(array.shape[3])
    return array[:, :, :, 0] if array.ndim >= 4 else array
