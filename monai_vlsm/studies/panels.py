# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The same images by all systems, as a drawing: an image a row, a system a column."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from monai_vlsm.drawing import PREDICTION, TRUTH
from monai_vlsm.report.plots import STYLE
from monai_vlsm.statistics import words
from monai_vlsm.studies.charts import drawing_files
from monai_vlsm.studies.images import Answer, Answers, choose_images

__all__ = ["draw_images"]

_ACROSS = 6  # systems in a row
_PANEL, _GAP, _MARGIN = 1.45, 0.08, 0.1  # inches: width of a panel, between two, around all
_HEAD, _BELOW, _END = 0.36, 0.5, 0.35  # inches: above an image, below a panel, for the legend
_DOTS = 288  # pixels of the longer side of a panel: twice what is seen on a page
_LETTERS = 20  # that fit below a panel
_SMALL = 9


@dataclass(frozen=True)
class _Row:
    """One image: what it is, the truth, and of each system its name with Dice and its prediction."""

    title: str
    truth: Image.Image
    predictions: Sequence[tuple[str, Image.Image]]

    @property
    def lines(self) -> int:
        """How often panels begin anew at the left."""
        return -(-len(self.predictions) // _ACROSS)

    @property
    def tall(self) -> float:
        """Inches of a panel."""
        return _PANEL * max(image.height / image.width for image in (self.truth, *(one for _, one in self.predictions)))

    @property
    def height(self) -> float:
        """Inches of all."""
        return _HEAD + self.lines * (self.tall + _BELOW)


def draw_images(answers: Answers, chosen: Sequence[str]) -> dict[str, bytes]:
    """A drawing as ``svg`` and ``png``; nothing where no image is there of all systems.

    Args:
        answers: of each system, in the order of the columns.
        chosen: names of images to show, before the worst ones.

    Raises:
        StudyError: see `monai_vlsm.studies.images.choose_images`.
    """
    rows = []
    for (dataset, name, structure), why in choose_images(answers, chosen).items():
        found = {system: one[dataset, name, structure] for system, one in answers.items()}
        prompt = words.quoted(next(iter(found.values())).prompt)
        rows.append(_row(f"{dataset}: {name}, {prompt} ({why})", found))
    drawn = [row for row in rows if row is not None]
    return _draw(drawn) if drawn else {}


def _row(title: str, answers: dict[str, Answer]) -> _Row | None:
    """None where an overlay does not say where its panels are."""
    truth = next(iter(answers.values())).panel("truth")
    found = [(f"{system}\n{words.decimals(one.dice)}", one.panel("prediction")) for system, one in answers.items()]
    panels = [(label, panel) for label, panel in found if panel is not None]
    return _Row(title, truth, panels) if truth is not None and len(panels) == len(found) else None


def _draw(rows: Sequence[_Row]) -> dict[str, bytes]:
    columns = 1 + min(_ACROSS, max(len(row.predictions) for row in rows))
    width = columns * (_PANEL + _GAP) - _GAP + 2 * _MARGIN
    height = sum(row.height for row in rows) + _END + _MARGIN
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(width, height))
        top = height - _MARGIN
        for row in rows:
            _draw_row(figure, row, top)
            top -= row.height
        names = {TRUTH: "truth", PREDICTION: "prediction, with its Dice below"}
        lines = [Line2D([], [], color=colour, linewidth=2.5, label=name) for colour, name in names.items()]
        figure.legend(handles=lines, ncols=2, frameon=False, loc="lower center", fontsize=10, borderaxespad=0.2)
        return drawing_files(figure)


def _draw_row(figure: Figure, row: _Row, top: float) -> None:
    width, height = figure.get_size_inches()
    text = textwrap.shorten(row.title, int(width * 13), placeholder=" ...")
    figure.text(_MARGIN / width, (top - 0.1) / height, text, va="top", fontsize=10)
    _draw_panel(figure, row.truth, "truth", 0, top - _HEAD, row.tall)
    for index, (label, image) in enumerate(row.predictions):
        line, column = divmod(index, _ACROSS)
        _draw_panel(figure, image, label, column + 1, top - _HEAD - line * (row.tall + _BELOW), row.tall)


def _draw_panel(figure: Figure, image: Image.Image, label: str, column: int, top: float, tall: float) -> None:
    width, height = figure.get_size_inches()
    left, bottom = _MARGIN + column * (_PANEL + _GAP), top - tall
    axes = figure.add_axes((left / width, bottom / height, _PANEL / width, tall / height))
    axes.set_axis_off()
    axes.set_anchor("N")
    smaller = image.copy()
    smaller.thumbnail((_DOTS, _DOTS))
    axes.imshow(smaller, interpolation="none")
    name, _, dice = label.partition("\n")
    lines = textwrap.wrap(name, _LETTERS, max_lines=1, placeholder="...")
    figure.text(
        (left + _PANEL / 2) / width,
        (bottom - 0.05) / height,
        "\n".join([*lines, *([dice] if dice else [])]),
        ha="center",
        va="top",
        fontsize=_SMALL,
    )
