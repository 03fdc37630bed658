# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG, the same bytes for the same numbers."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monai_vlsm.statistics.bootstrap import Estimate

__all__ = ["ForestRow", "coverage", "forest", "reliability"]

# Okabe and Ito, as in the images of the cases
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#9aa5ad"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "monai_vlsm",  # else ids in the file are random
    "svg.fonttype": "none",
    "text.parse_math": False,  # names may hold dollar signs
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
WIDTH = 5.4  # inches; scaled to a phone, the text stays readable
DOTS = 150  # more would make the file large and show no more
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class ForestRow:
    """One line of a forest plot: a mean with its interval, and the single values as dots."""

    label: str
    estimate: Estimate
    values: np.ndarray = field(default_factory=lambda: np.zeros(0))


def forest(
    rows: Sequence[ForestRow], label: str, limits: tuple[float, float] | None = None, zero: bool = False
) -> bytes:
    """Means with intervals, one below the other.

    Args:
        rows: from top to bottom.
        label: what is measured.
        limits: of the axis.
        zero: whether to draw a line at zero.
    """
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.42 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for height, row in enumerate(rows):
            _forest_row(axes, row, height)
        if zero:
            axes.axvline(0, color="0.4", linewidth=1, linestyle=(0, (4, 3)))
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="0.92")
        axes.set_axisbelow(True)
        if limits:
            axes.set_xlim(*limits)
        return _svg(figure)


def _forest_row(axes: Axes, row: ForestRow, height: int) -> None:
    values = np.sort(row.values[np.isfinite(row.values)])
    if len(values):
        chosen = values[np.unique(np.linspace(0, len(values) - 1, min(DOTS, len(values))).round().astype(int))]
        shift = (np.arange(len(chosen)) * GOLDEN % 1 - 0.5) * 0.44  # spread, so that equal values can be told apart
        axes.plot(chosen, height + shift, "o", color=GREY, markersize=2.6, alpha=0.55, markeredgewidth=0, clip_on=False)
    estimate = row.estimate
    if estimate.low is not None and estimate.high is not None:
        axes.plot([estimate.low, estimate.high], [height, height], color=BLUE, linewidth=3, solid_capstyle="butt")
    if estimate.mean is not None:
        axes.plot([estimate.mean], [height], "o", color=BLUE, markersize=7, markeredgecolor="white")


def reliability(bins: Sequence[Mapping[str, float]]) -> bytes:
    """How often pixels of a probability are foreground, against that probability; below, how many pixels there are.

    Args:
        bins: with low, high, pixels, confidence and frequency; those that hold pixels.
    """
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH * 0.75, WIDTH * 0.9), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        upper.plot([0, 1], [0, 1], color="0.4", linewidth=1, linestyle=(0, (4, 3)))
        points = {name: [found[name] for found in bins] for name in ("confidence", "frequency")}
        upper.plot(points["confidence"], points["frequency"], "o-", color=BLUE, markersize=6)
        upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is foreground", aspect="equal")
        total = sum(found["pixels"] for found in bins) or 1
        shares = [100 * found["pixels"] / total for found in bins]
        edges = [found["low"] for found in bins]
        lower.bar(edges, shares, [found["high"] - found["low"] for found in bins], align="edge", color=GREY)
        lower.set(xlabel="probability that the model gives", ylabel="% of pixels", ylim=(0, 100))
        for axes in (upper, lower):
            axes.grid(color="0.92")
            axes.set_axisbelow(True)
        return _svg(figure)


def coverage(risk: np.ndarray, ideal: np.ndarray) -> bytes:
    """Mean risk of the most certain masks, against their share of all; that of a random and of the best order too.

    Args:
        risk: mean of the k most certain, for k from 1 to N.
        ideal: the same in the best order.
    """
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, WIDTH * 0.65), layout="constrained")
        axes = figure.subplots()
        shares = 100 * np.arange(1, len(risk) + 1) / len(risk)
        axes.axhline(risk[-1], color="0.4", linewidth=1, linestyle=(0, (4, 3)), label="random order")
        axes.plot(shares, ideal, color=GREY, linewidth=2, label="best order")
        axes.plot(shares, risk, color=BLUE, linewidth=2, label="by uncertainty")
        axes.set(xlim=(0, 100), xlabel="% of the masks, the most certain first", ylabel="mean of 1 - Dice")
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        return _svg(figure)


def _svg(figure: Figure) -> bytes:
    metadata: dict[str, Any] = {"Date": None, "Creator": None}
    with io.BytesIO() as file, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the reader's own font draws it
        figure.savefig(file, format="svg", metadata=metadata)
        return file.getvalue()
