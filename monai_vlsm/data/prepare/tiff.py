# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Mend the colour tag (PhotometricInterpretation) of TIFF files that say something else than they hold."""

from __future__ import annotations

import struct

__all__ = ["mended"]

# TIFF 6.0: byte order, 42, offset of the directory; entries of 12 bytes: tag, type, count, value
ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
PHOTOMETRIC, SAMPLES = 262, 277
BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 1, 2, 3, 5, 6, 8
SHORT = 3
# samples of a pixel to the tags that fit
SOUND = {1: (0, BLACK_IS_ZERO, PALETTE), 3: (RGB, YCBCR, LAB), 4: (RGB, CMYK)}


def mended(content: bytes) -> bytes:
    """The file with a colour tag that fits its channels: RGB for three or four, black is zero for one.

    A file whose tag fits, one without a tag, and what is no TIFF come back as they are. Only the first directory
    counts.

    Args:
        content: of the file.
    """
    order = ORDERS.get(content[:4])
    if order is None:
        return content
    tags = _directory(content, order)
    samples = tags[SAMPLES][1] if SAMPLES in tags else 1
    position, photometric = tags.get(PHOTOMETRIC, (0, -1))
    if not position or samples not in SOUND or photometric in SOUND[samples]:
        return content
    fitting = struct.pack(f"{order}H", BLACK_IS_ZERO if samples == 1 else RGB)
    return content[:position] + fitting + content[position + 2 :]


def _directory(content: bytes, order: str) -> dict[int, tuple[int, int]]:
    """Tag to the position and value of its entry, short values only; empty if the file is cut off."""
    found: dict[int, tuple[int, int]] = {}
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (number,) = struct.unpack_from(f"{order}H", content, start)
        for index in range(number):
            entry = start + 2 + 12 * index
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", content, entry)
            if kind == SHORT:
                found[tag] = (entry + 8, value)
    except struct.error:
        return {}
    return found
