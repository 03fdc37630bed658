# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks as run lengths, in the notation of the COCO annotations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["decode_runs"]


def decode_runs(size: Sequence[int], counts: str | Sequence[int]) -> np.ndarray:
    """The mask that run lengths stand for: background and structure in turn, column by column.

    As text, each length is a number in base 32 with its lowest digit first, one character a digit (from ``0`` on): bit
    32 says that more digits follow, bit 16 of the last digit is the sign, and from the fourth length on the difference
    to the length two before is written.

    Args:
        size: rows and columns.
        counts: the lengths, or the text.

    Returns:
        bool ``(rows, columns)``.

    Raises:
        ValueError: the lengths do not fill the image.
    """
    rows, columns = (int(number) for number in size)
    lengths = _lengths(counts) if isinstance(counts, str) else list(counts)
    if sum(lengths) != rows * columns or min(lengths, default=0) < 0:
        raise ValueError(f"expected run lengths for {rows} x {columns} pixels, found {sum(lengths)} pixels")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(columns, rows).T


def _lengths(text: str) -> list[int]:
    lengths: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - ord("0")
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
        value = shift = 0
    return lengths
