# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes of every format: NIfTI, NRRD, MHA, MHD and DICOM series."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np
from monai.utils import MetaKeys

from monai_vlsm.data.dicom import read_frame
from monai_vlsm.data.dicom_values import Limits, shown_range
from monai_vlsm.data.formats import is_itk_volume
from monai_vlsm.data.volumes import nifti
from monai_vlsm.data.volumes.address import Address
from monai_vlsm.data.volumes.itk_files import TO_RAS, read_itk, volume_meta
from monai_vlsm.data.volumes.series import SliceFile, is_series, ordered_files, series_place

__all__ = ["is_there", "read_any", "read_channel"]

_WHOLE = np.iinfo(np.int16)


def is_there(path: str | PathLike[str]) -> bool:
    """Whether a volume can be read from a path: a file or a folder, or that of an address."""
    place, series = series_place(path)
    return place.is_file() if series is None and not place.is_dir() else place.is_dir()


def read_any(path: str | PathLike[str]) -> tuple[np.ndarray, dict[str, Any]]:
    """The one volume of a file or DICOM series, with its native axes.

    Args:
        path: a NIfTI, NRRD, MHA or MHD file; the folder of a DICOM series, or ``FOLDER::series=UID`` where the folder
            has more; ``FILE::channel=N``, one volume of a 4D file.

    Returns:
        as `monai_vlsm.data.volumes.read_volume`. A DICOM series has the axes (columns, rows, slices), the slices along
        their normal, and ``window`` or ``range`` as `monai_vlsm.data.dicom.read_dicom` where they hold for all slices.

    Raises:
        ValueError: several volumes, a damaged file, or a series that is no volume, see
            `monai_vlsm.data.volumes.series.ordered_files`.
    """
    place, _ = series_place(path)
    channel = Address.of(path).channel
    if channel is not None:
        array, meta = read_channel(place, channel)
        return array, {**meta, MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan")}
    if is_series(path):
        return _read_series(ordered_files(fspath(path)))
    return read_itk(place) if is_itk_volume(place) else nifti.read_volume(place)


def read_channel(path: str | PathLike[str], channel: int | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """One volume of grey values ``(X, Y, Z)``.

    Args:
        path: as for `read_any`.
        channel: which volume of a file of several, as NIfTI has them.

    Raises:
        ValueError: as `read_any`; colours; several volumes and no channel, or a channel that the file does not have.
    """
    place, series = series_place(path)
    if series is None and place.is_file() and not is_itk_volume(place):
        return nifti.read_channel(place, channel)
    array, meta = read_any(path)
    nifti.chosen_channel(channel, 1)
    if array.ndim > 3:
        raise ValueError(f"colours, an array of shape {array.shape}; expected one number for each voxel")
    return array.reshape((*array.shape, 1)[:3]), meta


def _read_series(files: Sequence[SliceFile]) -> tuple[np.ndarray, dict[str, Any]]:
    slices, limits, data = [], [], None
    for one in files:
        try:
            data, values, shown = read_frame(one.path)
        except Exception as error:  # as the decoders of a single file
            raise ValueError(f"{one.path.name}: {error}") from error
        slices.append(_small(values))
        limits.append(shown)
    volume = _stacked(slices)
    colour = volume.ndim == 4
    meta = volume_meta(_affine(files), volume, colour, oriented=True)
    return volume, {**meta, **({} if colour else _common(limits, data, volume))}


def _small(values: np.ndarray) -> np.ndarray:
    """Values that were rescaled, in as few bytes as they need."""
    if values.dtype.kind != "f":
        return values
    whole = values.min() >= _WHOLE.min and values.max() <= _WHOLE.max and (values == np.rint(values)).all()
    return values.astype(np.int16 if whole else np.float32)


def _stacked(slices: list[np.ndarray]) -> np.ndarray:
    """``(rows, columns[, 3])`` of each as ``(columns, rows, slices[, 3])``; the list is emptied, to save memory."""
    dtype = np.result_type(*{one.dtype for one in slices})
    volume = np.empty((len(slices), *slices[0].shape), dtype)
    for index in range(len(slices) - 1, -1, -1):
        volume[index] = slices.pop()
    return volume.swapaxes(0, 2)


def _affine(files: Sequence[SliceFile]) -> np.ndarray:
    """From (column, row, slice) to mm to the patient's right, front and top."""
    first, last = files[0], files[-1]
    assert first.directions is not None and first.spacing is not None
    assert first.position is not None and last.position is not None
    affine = np.eye(4)
    affine[:3, 0] = first.directions[0] * first.spacing[1]
    affine[:3, 1] = first.directions[1] * first.spacing[0]
    affine[:3, 2] = (last.position - first.position) / (len(files) - 1)
    affine[:3, 3] = first.position
    turned: np.ndarray = TO_RAS @ affine
    return turned


def _common(limits: Sequence[Limits], data: Any, volume: np.ndarray) -> Limits:
    """The window that all slices have; else the range of the volume, as of one image."""
    windows = [one.get("window") for one in limits]
    first = windows[0]
    if first is not None and all(one is not None and np.array_equal(one, first) for one in windows):
        return {"window": first}
    return shown_range(data, volume)
