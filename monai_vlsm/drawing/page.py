# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Blocks of text and images, put together to one image."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monai_vlsm.drawing.colours import rgb
from monai_vlsm.drawing.ends import Ends
from monai_vlsm.drawing.places import pass_on, places_of

__all__ = ["below", "beside", "legend_block", "marked", "save_png", "text_block", "text_lines"]

TEXT, GREY = (20, 20, 20), (90, 90, 90)
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_GAP = 4  # between lines
_LEAST_MARKED = 48  # pixels of a panel that has room for marks


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Latin, Greek, Cyrillic, Arabic, and the signs of mathematics."""
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def text_block(
    text: str, width: int, size: int = 14, colour: tuple[int, int, int] = TEXT, lines: int = 6, centred: bool = True
) -> Image.Image:
    """Text on white.

    Args:
        text: any text; what is not to be seen, such as control characters, becomes a space.
        width: of the block, in pixels; lines are broken so that they fit.
        size: of the letters, in pixels.
        colour: of the letters.
        lines: at most; the last one ends in "..." when there are more.
        centred: in the middle, or at the left.
    """
    font, wrapped = _font(size), text_lines(text, width, size)
    if len(wrapped) > lines:
        wrapped = [*wrapped[: lines - 1], _cut(wrapped[lines - 1] + " ...", font, width)]
    step = sum(font.getmetrics()) + _GAP // 2
    block = Image.new("RGB", (width, step * len(wrapped)), _WHITE)
    draw = ImageDraw.Draw(block)
    for number, line in enumerate(wrapped):
        place = (width / 2, number * step) if centred else (0, number * step)
        draw.text(place, line, colour, font, anchor="ma" if centred else "la")
    return block


def text_lines(text: str, width: int, size: int = 14) -> list[str]:
    """The lines of a text that each fit into ``width`` pixels with letters of ``size``; one for an empty text."""
    font = _font(size)
    return [part for line in text.splitlines() or [""] for part in _wrap(_printable(line), font, width)]


def _printable(line: str) -> str:
    shown = "".join(" " if unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") else letter for letter in line)
    return " ".join(shown.split())


def _wrap(line: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Lines that fit, broken between words, and within a word that is longer than a line."""
    found, current = [], ""
    for word in line.split(" "):
        longer = f"{current} {word}" if current else word
        if font.getlength(longer) <= width:
            current = longer
            continue
        if current:
            found.append(current)
        while font.getlength(word) > width and len(word) > 1:
            fitting = _fitting(word, font, width)
            found.append(word[:fitting])
            word = word[fitting:]
        current = word
    return [*found, current]


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int) -> int:
    """How many letters of a text fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(text[:middle]) <= width else (low, middle - 1)
    return low


def _cut(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    return text[: _fitting(text, font, width - int(font.getlength(" ...")))].rstrip() + " ..."


def legend_block(
    entries: Sequence[tuple[str, str]], width: int, size: int = 13, across: bool = False, most: int = 40
) -> Image.Image:
    """Colours and what they mean.

    Args:
        entries: ``#RRGGBB`` and text.
        width: of the block, in pixels.
        size: of the letters, in pixels.
        across: one beside the other, for few short texts; else one below the other.
        most: so many are listed, and how many more there are.
    """
    room = width // len(entries) if across and entries else width
    blocks = [_entry(colour, text, room, size) for colour, text in entries[:most]]
    if len(entries) > most:
        blocks.append(text_block(f"... and {len(entries) - most} more", width, size, GREY, centred=False))
    return beside(blocks, 0) if across else below(blocks, _GAP)


def _entry(colour: str, text: str, width: int, size: int) -> Image.Image:
    swatch = Image.new("RGB", (2 * size, size + 4), _WHITE)
    fill = tuple(round(0.7 * 255 + 0.3 * value) for value in rgb(colour))
    ImageDraw.Draw(swatch).rectangle((0, 2, 2 * size - 8, size + 2), fill, rgb(colour), 2)
    return beside([swatch, text_block(text, width - swatch.width, size, lines=3, centred=False)], 0)


def marked(panel: np.ndarray, ends: Ends | None) -> Image.Image:
    """A panel, uint8 ``(rows, columns, 3)``, with the ends of the patient at its edges where they are known."""
    image = Image.fromarray(panel)
    if ends is None or min(image.size) < _LEAST_MARKED:
        return image
    draw, (width, height) = ImageDraw.Draw(image), image.size
    places = [
        ((3, height / 2), "lm"),
        ((width - 3, height / 2), "rm"),
        ((width / 2, 2), "ma"),
        ((width / 2, height - 3), "md"),
    ]
    for text, (place, anchor) in zip(ends, places, strict=True):
        draw.text(place, text, _WHITE, _font(15), anchor=anchor, stroke_width=2, stroke_fill=_BLACK)
    return image


def beside(images: Sequence[Image.Image], gap: int = 8, bottom: bool = False) -> Image.Image:
    """Images in a row, with their tops or bottoms at one height."""
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    page = Image.new("RGB", (max(width, 1), max([image.height for image in images], default=1)), _WHITE)
    left = 0
    for image in images:
        top = page.height - image.height if bottom else 0
        page.paste(image, (left, top))
        pass_on(image, page, left, top)
        left += image.width + gap
    return page


def below(images: Sequence[Image.Image], gap: int = 8, margin: int = 0, left: bool = False) -> Image.Image:
    """Images in a column, in the middle or at the left of it, with a margin around all."""
    width = max([image.width for image in images], default=1)
    height = sum(image.height for image in images) + gap * (len(images) - 1)
    page = Image.new("RGB", (width + 2 * margin, max(height, 1) + 2 * margin), _WHITE)
    top = margin
    for image in images:
        across = margin + (0 if left else (width - image.width) // 2)
        page.paste(image, (across, top))
        pass_on(image, page, across, top)
        top += image.height + gap
    return page


def save_png(image: Image.Image, path: Path | BinaryIO) -> None:
    """Write an image as PNG, whatever the name of the file; little packed, since it costs more time than it saves."""
    image.save(path, format="PNG", compress_level=3, pnginfo=places_of(image))
