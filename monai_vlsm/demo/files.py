# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a stranger may put on the page: images, DICOM and NIfTI of a size that this machine can bear."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import pydicom
from PIL import Image, UnidentifiedImageError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from monai_vlsm.data import validate_records
from monai_vlsm.data.formats import file_kind, is_itk_volume
from monai_vlsm.data.volumes import shape_of, volumes_in
from monai_vlsm.errors import UserError
from monai_vlsm.serving.slices import in_channel

__all__ = ["MOST_ALONG", "MOST_PIXELS", "MOST_UNPACKED", "FileRefusedError", "check_file"]

MOST_PIXELS = 50_000_000
"""Of an image."""
MOST_UNPACKED = 512 * 2**20
"""Bytes of a volume, unpacked."""
MOST_ALONG = 2000
"""Voxels of a volume along each axis: each may be that of the slices, and a slice costs as much as an image."""
_PIECE = 2**20


class FileRefusedError(UserError, ValueError):
    """A file that the page does not take."""


def check_file(path: Path) -> int:
    """Look at a file: first, without unpacking it into memory, whether it is too large, then whether it can be read.

    Returns:
        how many volumes it has, of which one can be chosen; 1 for an image.

    Raises:
        FileRefusedError: it is of no format that is read, damaged, or too large once unpacked.
        DatasetProblems: it cannot be read.
    """
    kind = file_kind(path)
    if kind is None or (kind == "volume" and is_itk_volume(path)):
        raise FileRefusedError(f"{path.name} is no image, DICOM or NIfTI file; drop one of these")
    {"volume": _check_volume, "dicom": _check_dicom, "image": _check_image}[kind](path)
    validate_records([in_channel({"image": str(path)}, 0)])
    return volumes_in(path)


def _check_volume(path: Path) -> None:
    _check_packed(path)
    shape = (*shape_of(path), 1, 1, 1, 1)
    axes = shape[:3]
    if 1 in axes or shape[4] > 1:  # goes through the network at once
        _check_pixels(path, math.prod(axes))
    elif max(axes) > MOST_ALONG:
        raise FileRefusedError(
            f"{path.name} has {max(axes):,} voxels along an axis; the page takes {MOST_ALONG:,}, "
            "python -m monai_vlsm predict all"
        )


def _check_packed(path: Path) -> None:
    with path.open("rb") as raw:
        if raw.read(2) != b"\x1f\x8b":
            return  # as large as what was sent
    try:
        size = _unpacked_size(path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileRefusedError(f"{path.name} was cut short or is damaged; copy or download it again") from error
    if size > MOST_UNPACKED:
        raise FileRefusedError(
            f"{path.name} unpacks to more than {MOST_UNPACKED // 2**20} MB; the page takes smaller ones, "
            "python -m monai_vlsm predict all"
        )


def _unpacked_size(path: Path) -> int:
    """Bytes; of what is too large, no more than that it is."""
    size = 0
    with gzip.open(path) as file:
        while size <= MOST_UNPACKED and (piece := file.read(_PIECE)):
            size += len(piece)
    return size


def _check_dicom(path: Path) -> None:
    try:
        packed = _syntax(path) == DeflatedExplicitVRLittleEndian
        data = None if packed else pydicom.dcmread(path, stop_before_pixels=True, force=True)
    except Exception:  # pydicom raises nearly every type on damaged files; reading them says what is wrong
        return
    if data is None:  # pydicom unpacks it whole, however large it becomes
        raise FileRefusedError(f"{path.name} is a deflated DICOM file; save it in another transfer syntax")
    _check_pixels(path, int(data.get("Rows") or 0) * int(data.get("Columns") or 0))


def _syntax(path: Path) -> str | None:
    """How a DICOM file is packed, by the elements of group 2 at its beginning."""
    with path.open("rb") as file:
        read_preamble(file, force=True)
        meta = read_dataset(file, False, True, stop_when=lambda tag, *_: tag.group != 2)
    return meta.get("TransferSyntaxUID")


def _check_image(path: Path) -> None:
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
    except Image.DecompressionBombError:
        pixels = MOST_PIXELS + 1
    except (UnidentifiedImageError, OSError, ValueError):
        return  # reading it says what is wrong
    _check_pixels(path, pixels)


def _check_pixels(path: Path, pixels: int) -> None:
    if pixels > MOST_PIXELS:
        raise FileRefusedError(f"{path.name} has more than {MOST_PIXELS:,} pixels; save it smaller")
