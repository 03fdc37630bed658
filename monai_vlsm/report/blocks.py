# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a report is made of; all texts are plain, the templates escape them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_vlsm.tables import Table

__all__ = ["Block", "Details", "Figures", "Gallery", "Heading", "Hint", "Paragraph", "Photo", "Plot"]


@dataclass(frozen=True)
class Heading:
    """A heading; 2 opens a chapter, which the page lists at its top."""

    text: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """A text; a small one explains how numbers were made, and is said once."""

    text: str
    small: bool = False


@dataclass(frozen=True)
class Hint:
    """What is missing, and the command that makes it."""

    text: str
    command: str


@dataclass(frozen=True)
class Details:
    """A table that is folded away on the page; cells may link to its anchor."""

    title: str
    table: Table
    anchor: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot as SVG, with a text for those who cannot see it."""

    svg: bytes
    text: str


@dataclass(frozen=True)
class Figures:
    """Plots of a kind, side by side where there is room."""

    plots: Sequence[Plot]


@dataclass(frozen=True)
class Photo:
    """An image with what there is to say about it."""

    file: Path | None
    prompt: str
    scores: str
    name: str


@dataclass(frozen=True)
class Gallery:
    """Some images of one kind; a table where there are no overlays."""

    title: str
    photos: Sequence[Photo]
    shown: bool = True

    @property
    def table(self) -> Table:
        """The same without overlays."""
        rows = [(photo.prompt, photo.scores, photo.name) for photo in self.photos]
        return Table(("prompt", "scores", "image"), rows)


Block = Heading | Paragraph | Hint | Table | Details | Figures | Gallery
