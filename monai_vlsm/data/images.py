# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""PNG, JPEG, TIFF and the like, by Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from monai_vlsm.data.alpha import without_alpha
from monai_vlsm.data.formats import IMAGE_FORMATS

__all__ = ["image_facts", "read_image", "upright_image"]

_WHITE_IS_ZERO = 0  # TIFF's photometric interpretation


def read_image(path: Path, mode: str = "image") -> np.ndarray:
    """An image upright, without transparency, with bright as high.

    Args:
        path: the file.
        mode: ``"image"`` or ``"mask"``, see :func:`monai_vlsm.data.alpha.without_alpha`.

    Returns:
        ``(rows, columns)`` of 8, 16 or 32 bits, or uint8 ``(rows, columns, 3)``.

    Raises:
        ValueError: several pages or frames, more pixels than Pillow opens, or transparency that leaves nothing.
    """
    with upright_image(path) as (image, zero_is_white):
        if _is_deep(image):
            array = np.asarray(image)
            return _turned_round(array) if zero_is_white else array  # Pillow does so for 8 bits only
        return np.asarray(without_alpha(image, mode).convert("L" if _is_grey(image) else "RGB"))


@contextmanager
def upright_image(path: Path) -> Iterator[tuple[Image.Image, bool]]:
    """An image of Pillow, upright, with its own mode; and whether its file has white as 0.

    Raises:
        ValueError: as :func:`read_image`.
    """
    with _opened(path) as image:
        zero_is_white = _zero_is_white(image)
        image.load()  # a TIFF is turned upright by this, others by the next line
        yield ImageOps.exif_transpose(image), zero_is_white


def image_facts(path: Path) -> tuple[tuple[int, int], int]:
    """Rows, columns and channels of an image, of which all data is read to find out that it is whole.

    A JPEG is decoded at an eighth of its size.

    Raises:
        ValueError: as :func:`read_image`.
    """
    with _opened(path) as image:
        columns, rows = image.size  # a TIFF is upright as soon as it is opened
        image.draft(None, (1, 1))
        image.load()
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5  # by a quarter, perhaps mirrored
        if not _is_deep(image):
            without_alpha(image)
        return (columns, rows) if turned else (rows, columns), 1 if _is_grey(image) or _is_deep(image) else 3


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with path.open("rb") as file, Image.open(file, formats=IMAGE_FORMATS) as image:
            frames = getattr(image, "n_frames", 1)
            if frames > 1 and image.format != "MPO":  # a camera's JPEG with previews behind it
                what = "pages" if image.format == "TIFF" else "frames"
                raise ValueError(f"{frames} {what}; split the file into single images")
            yield image
    except UnidentifiedImageError as error:
        raise ValueError("cannot identify image file: the content is that of no image, or damaged") from error
    except Image.DecompressionBombError as error:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ValueError(
            f"more than {limit:,} pixels, the limit of Pillow; save it smaller, or cut it into parts (docs/data.md)"
        ) from error


def _zero_is_white(image: Image.Image) -> bool:
    return getattr(image, "tag_v2", {}).get(ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO


def _turned_round(array: np.ndarray) -> np.ndarray:
    """White as zero becomes white as the highest value."""
    if array.dtype.kind == "f":
        return array.min() + array.max() - array
    return np.iinfo(array.dtype).max - array


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La")


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")
