# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Decode images of a download and write those of the layout."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from monai_vlsm.data.foreground import foreground
from monai_vlsm.data.lossy import is_lossy
from monai_vlsm.data.masks import binary_fault
from monai_vlsm.data.prepare.archive import Archive, ArchiveError
from monai_vlsm.data.problems import DatasetProblems
from monai_vlsm.data.reader import ImageFileReader

__all__ = ["copy", "image", "jpeg_mask", "mask_as_png", "png", "structure"]


def copy(archive: Archive, member: str) -> bytes:
    """The file as it is."""
    return archive.read(member)


def mask_as_png(archive: Archive, *members: str) -> bytes:
    """PNG of 0 and 255 of what any of the mask files covers.

    Raises:
        ArchiveError: a file that is no binary mask, or files of different sizes.
    """
    with archive.paths(*members) as paths:
        masks = [structure(path, name) for path, name in zip(paths, members, strict=True)]
    for mask, name in zip(masks, members, strict=True):
        if mask.shape != masks[0].shape:
            raise ArchiveError(f"{name}: expected the size {masks[0].shape} of {members[0]}, found {mask.shape}")
    return png(np.any(masks, axis=0))


def image(path: Path, name: str) -> np.ndarray:
    """``(rows, columns)`` or ``(rows, columns, 3)`` of an image file.

    Raises:
        ArchiveError: it cannot be decoded; the message gives it ``name``.
    """
    return _decoded(ImageFileReader(), path, name)


def structure(path: Path, name: str) -> np.ndarray:
    """Bool ``(rows, columns)`` of a mask file; colours of any kind are structure, dark is background.

    Raises:
        ArchiveError: it cannot be decoded or is no mask; the message gives it ``name``.
    """
    array = _decoded(ImageFileReader("mask"), path, name)
    fault = binary_fault(array, is_lossy(path))
    if fault:
        raise ArchiveError(f"{name}: expected a binary mask (0 and 1, or 0 and 255), found {fault}")
    return foreground(array)


def _decoded(reader: ImageFileReader, path: Path, name: str) -> np.ndarray:
    try:
        array, _ = reader.get_data(reader.read(path))
    except DatasetProblems as error:
        problem = error.problems[0]
        raise ArchiveError(f"{name}: expected {problem.expected}, found {problem.found}") from error
    return array


def png(array: np.ndarray) -> bytes:
    """PNG of an 8-bit image, or of 0 and 255 of a bool mask; the same bytes for the same pixels."""
    return _encoded(array, "PNG")


def jpeg_mask(mask: np.ndarray) -> bytes:
    """Grey JPEG of best quality of a bool mask: half of its range is the border, pixel by pixel."""
    return _encoded(mask, "JPEG", quality=100)


def _encoded(array: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array.astype(np.uint8) * 255 if array.dtype == bool else array).save(buffer, kind, **options)
    return buffer.getvalue()
