# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Colour tags of TIFF files."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from monai_vlsm.data.prepare.tiff import mended
from tests.data.prepare.downloads import blob, photo, with_colour_tag


def tiff(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.mark.parametrize("value", [0, 1, 3, 32803])
def test_colour_with_an_odd_tag(value: int) -> None:
    odd = with_colour_tag(tiff(photo()), value)
    with pytest.raises(UnidentifiedImageError):
        Image.open(BytesIO(odd))
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(mended(odd)))), photo())


@pytest.mark.parametrize("value", [2, 6, 32803])
def test_grey_with_an_odd_tag(value: int) -> None:
    odd = with_colour_tag(tiff(blob()), value)
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(mended(odd)))), blob())


@pytest.mark.parametrize(
    "content",
    [
        tiff(photo()),
        tiff(blob()),
        with_colour_tag(tiff(blob()), 0),  # white is zero is a tag that Pillow heeds
        b"",
        b"no image",
        b"II*\0",
        tiff(blob())[:20],
    ],
)
def test_other_files_stay(content: bytes) -> None:
    assert mended(content) == content


def test_big_endian() -> None:
    entries = [(256, 3), (257, 2), (258, 8), (259, 1), (262, 2), (273, 200), (277, 1), (278, 2), (279, 6)]
    directory = b"".join(struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in entries)
    content = b"MM\0*" + struct.pack(">IH", 8, len(entries)) + directory + bytes(4)
    content = content.ljust(200, b"\0") + bytes(range(6))
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(mended(content)))), [[0, 1, 2], [3, 4, 5]])
