# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a stranger may put on the page: images, DICOM and NIfTI of a size that this machine can bear."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from monai_vlsm.data.formats import file_kind, is_itk_volume
from monai_vlsm.errors import UserError

__all__ = ["MOST_PIXELS", "MOST_UNPACKED", "FileRefusedError", "check_file"]

MOST_PIXELS = 50_000_000
"""Of an image."""
MOST_UNPACKED = 512 * 2**20
"""Bytes of a volume, unpacked."""
_PIECE = 2**20


class FileRefusedError(UserError, ValueError):
    """A file that the page does not take."""


def check_file(path: Path) -> None:
    """Look at a file without unpacking it into memory.

    Raises:
        FileRefusedError: it is of no format that is read, damaged, or too large once unpacked.
    """
    kind = file_kind(path)
    if kind is None or (kind == "volume" and is_itk_volume(path)):
        raise FileRefusedError(f"{path.name} is no image, DICOM or NIfTI file; drop one of these")
    if kind == "volume":
        _check_unpacked(path)
    elif kind == "image":
        _check_pixels(path)


def _check_unpacked(path: Path) -> None:
    with path.open("rb") as raw:
        if raw.read(2) != b"\x1f\x8b":
            return  # as large as what was sent
    size = 0
    try:
        with gzip.open(path) as file:
            while piece := file.read(_PIECE):
                size += len(piece)
                if size > MOST_UNPACKED:
                    raise FileRefusedError(
                        f"{path.name} unpacks to more than {MOST_UNPACKED // 2**20} MB; the page takes smaller ones, "
                        "python -m monai_vlsm predict all"
                    )
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileRefusedError(f"{path.name} was cut short or is damaged; copy or download it again") from error


def _check_pixels(path: Path) -> None:
    try:
        with Image.open(path) as image:
            pixels = image.width * image.height
    except Image.DecompressionBombError:
        pixels = MOST_PIXELS + 1
    except (UnidentifiedImageError, OSError, ValueError):
        return  # reading it says what is wrong
    if pixels > MOST_PIXELS:
        raise FileRefusedError(f"{path.name} has more than {MOST_PIXELS:,} pixels; save it smaller")
