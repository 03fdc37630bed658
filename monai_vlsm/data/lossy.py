# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether the values of a file are those that were saved, or near them only."""

from __future__ import annotations

from pathlib import Path

import pydicom
from monai.config import PathLike
from PIL import Image
from pydicom.uid import JPEG2000, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless

from monai_vlsm.data.formats import IMAGE_FORMATS, file_kind

__all__ = ["is_lossy"]

_ALWAYS = ("JPEG", "MPO")
_TIFF = ("jpeg", "tiff_jpeg", "webp")  # Pillow's names of compressions
_SYNTAXES = (JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000)
_HEAD = 4096  # bytes, in which JPEG 2000 and WebP say how they are coded
_COD = b"\xff\x52\x00"  # marker of JPEG 2000, and the first byte of a length below 256
_WAVELET = 13  # bytes from that marker to the kind of wavelet; 1 is the one of integers


def is_lossy(path: PathLike) -> bool:
    """Whether a file is compressed so that values change: JPEG, and JPEG within TIFF or DICOM; some WebP and JPEG 2000.

    Args:
        path: any file; one that is no image, or cannot be read, is not lossy.
    """
    path = Path(path)
    kind = file_kind(path)
    try:
        return (kind == "image" and _image(path)) or (kind == "dicom" and _dicom(path))
    except Exception:  # Pillow and pydicom raise nearly every type; reading the pixels says what is wrong
        return False


def _image(path: Path) -> bool:
    with Image.open(path, formats=IMAGE_FORMATS) as image:
        kind, compression = image.format, image.info.get("compression")
    if kind == "TIFF":
        return compression in _TIFF
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if kind == "JPEG2000":
        start = head.find(_COD)
        return start < 0 or head[start + _WAVELET] != 1
    return kind in _ALWAYS or (kind == "WEBP" and b"VP8L" not in head)


def _dicom(path: Path) -> bool:
    data = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    syntax = getattr(data, "file_meta", {}).get("TransferSyntaxUID")
    return data.get("LossyImageCompression") == "01" or syntax in _SYNTAXES
