# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Dice of several systems on several datasets, as a drawing."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monai_vlsm.report.plots import STYLE
from monai_vlsm.studies.cells import Cell, Place
from monai_vlsm.studies.tables import place_name, places_of

__all__ = ["draw_chart", "drawing_files", "system_look"]

# Okabe and Ito, and signs, so that colours are not all there is to tell systems by; every other seven are hollow
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
SIGNS = "os^Dv"  # as many as are told apart at this size
_WIDEST = 300  # inches; a PNG has at most 65,535 pixels
_NAME = 2.0  # inches for a name below the drawing
_METADATA: Mapping[str, Any] = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}


def draw_chart(title: str, systems: Sequence[str], cells: Sequence[Cell]) -> dict[str, bytes]:
    """Means with their intervals, datasets side by side, systems beside each other within each.

    Args:
        title: above the drawing.
        systems: in their order.
        cells: of these systems, with one kind of prompts.

    Returns:
        ``svg`` and ``png``, the same bytes for the same numbers.
    """
    places = places_of(cells)
    with style.context(["default", STYLE]):
        width = min(_WIDEST, max(5.0, 1.5 + 0.28 * len(places) * (len(systems) + 1)))
        columns = min(len(systems), max(3, int(width / _NAME)))
        figure = Figure(figsize=(width, 4.2), layout="constrained")
        axes = figure.subplots()
        for index in range(len(systems)):  # for the legend: looked for, it leaves out names that begin with _
            axes.plot([], [], **system_look(index))
        for index, system in enumerate(systems):
            shift = (index - (len(systems) - 1) / 2) / (len(systems) + 1)
            found = {cell.place: cell for cell in cells if cell.system == system}
            _draw_system(axes, index, shift, places, found)
        axes.set(title=title, ylabel="Dice, %", xlim=(-0.5, max(0.5, len(places) - 0.5)))
        axes.set_xticks(range(len(places)), [place_name(place) for place in places], rotation=20, ha="right")
        axes.grid(axis="y", color="0.92")
        axes.set_axisbelow(True)
        lines = axes.get_lines()[: len(systems)]
        figure.legend(lines, systems, ncols=columns, fontsize=9, frameon=False, loc="outside lower center")
        return drawing_files(figure)


def _draw_system(axes: Axes, index: int, shift: float, places: Sequence[Place], found: Mapping[Place, Cell]) -> None:
    """One system in all places; those without a result stay empty."""
    look = system_look(index)
    for place, cell in found.items():
        estimate, at = cell.estimates[0], places.index(place) + shift
        if estimate.low is not None and estimate.high is not None:
            axes.plot([at, at], [100 * estimate.low, 100 * estimate.high], color=look["color"], linewidth=1.5)
        if estimate.mean is not None:
            axes.plot([at], [100 * estimate.mean], **look)


def system_look(index: int) -> dict[str, Any]:
    """Colour and sign of a system, alike for no two of 70."""
    colour, hollow = COLOURS[index % len(COLOURS)], index // len(COLOURS) % 2
    return {
        "color": colour,
        "marker": SIGNS[index % len(SIGNS)],
        "linestyle": "none",
        "markersize": 7,
        "markerfacecolor": "white" if hollow else colour,
        "markeredgecolor": colour if hollow else "white",
        "markeredgewidth": 1.4 if hollow else 0.8,
    }


def drawing_files(figure: Figure) -> dict[str, bytes]:
    """A drawing as ``svg`` and ``png``, the same bytes for the same numbers."""
    return {kind: _file(figure, kind) for kind in ("svg", "png")}


def _file(figure: Figure, kind: str) -> bytes:
    with io.BytesIO() as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's own font draws it in the SVG
        figure.savefig(file, format=kind, metadata=dict(_METADATA[kind]), dpi=160)
        return file.getvalue()
