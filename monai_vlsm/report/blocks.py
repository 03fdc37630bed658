# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a report is made of, whatever it is written as; all texts are plain, nothing in them is markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "Block",
    "Cell",
    "Details",
    "Figure",
    "Figures",
    "Gallery",
    "Heading",
    "Hint",
    "Paragraph",
    "Photo",
    "Table",
    "photo_table",
]


@dataclass(frozen=True)
class Heading:
    """A heading; 2 opens a chapter, which the page lists at its top."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """A text; a small one explains how numbers were made."""

    text: str
    small: bool = False


@dataclass(frozen=True)
class Hint:
    """What is missing, and the command that makes it."""

    text: str
    command: str


@dataclass(frozen=True)
class Cell:
    """A number in a table, with an interval or remarks."""

    main: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows of texts and numbers."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True)
class Details:
    """A table that is folded away on the page."""

    title: str
    table: Table


@dataclass(frozen=True)
class Figure:
    """A plot as SVG, with a text for those who cannot see it."""

    svg: bytes
    text: str


@dataclass(frozen=True)
class Figures:
    """Plots of a kind, side by side where there is room."""

    figures: Sequence[Figure]


@dataclass(frozen=True)
class Photo:
    """An image with what there is to say about it."""

    picture: Path | None
    prompt: str
    scores: str
    name: str


@dataclass(frozen=True)
class Gallery:
    """Some images of one kind."""

    title: str
    photos: Sequence[Photo]


def photo_table(photos: Sequence[Photo]) -> Table:
    """The same without pictures."""
    return Table(("prompt", "scores", "image"), [(photo.prompt, photo.scores, photo.name) for photo in photos])


Block = Heading | Paragraph | Hint | Table | Details | Figure | Figures | Gallery
