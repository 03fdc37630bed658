# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A picture of a prediction: each prompt in its own colour, named in the legend."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from monai_vlsm.handlers.overlays import fill, outline
from monai_vlsm.io import replacing
from monai_vlsm.serving.segmentation import Segmentation

__all__ = ["draw_segmentation", "prompt_colours", "save_picture"]

# Okabe and Ito, without black: told apart by colour-blind readers
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2")
_PANEL, _LINE, _MARGIN = 4.0, 0.21, 0.1  # inches
_LETTERS, _LONGEST = 90, 200  # of a line, of a prompt
_FILLED = 4  # with more prompts, only outlines


def prompt_colours(count: int) -> list[str]:
    """One colour for each of ``count`` prompts, as ``#RRGGBB``."""
    if count <= len(_COLOURS):
        return list(_COLOURS[:count])
    return [to_hex(colormaps["turbo"]((index + 0.5) / count)) for index in range(count)]


def draw_segmentation(result: Segmentation) -> Figure:
    """The image as it is, and beside it with filled outlines; below, prompts with existence score and size."""
    view, colours = result.view, prompt_colours(len(result.prompts))
    lines = [_line(result, index) for index in range(len(result.prompts))]
    rows, columns = view.picture.shape[:2]
    height = _PANEL * rows * view.aspect / columns
    title, legend = 0.35, _LINE * sum(line.count("\n") + 1 for line in lines) + 0.2
    down, across = title + height + legend, 2 * _PANEL + 3 * _MARGIN
    figure = Figure(figsize=(across, down))
    for index in (0, 1):
        left = (_MARGIN + index * (_PANEL + _MARGIN)) / across
        axes = figure.add_axes((left, legend / down, _PANEL / across, height / down))
        axes.imshow(view.picture, aspect=view.aspect)
        axes.set_axis_off()
        if index == 1:
            _draw_masks(axes, view.masks, colours)
    where = "" if view.slice is None else f", slice {view.slice}"
    figure.text(0.5, 1 - 0.1 / down, f"{result.name}{where}", ha="center", va="top", fontsize=10, parse_math=False)
    patches = [Patch(facecolor=f"{colour}4D", edgecolor=colour, linewidth=1.6, label="prompt") for colour in colours]
    box = figure.legend(
        handles=patches, loc="lower left", bbox_to_anchor=(_MARGIN / across, 0), frameon=False, fontsize=9
    )
    for text, line in zip(box.get_texts(), lines, strict=True):
        text.set_parse_math(False)  # a prompt may hold a dollar sign, which would begin a formula
        text.set_text(line)
    return figure


def _draw_masks(axes: Axes, masks: np.ndarray, colours: list[str]) -> None:
    """Large ones first, so that small ones stay visible; fills of many masks would mix to one brown."""
    for index in np.argsort([-mask.sum() for mask in masks], kind="stable"):
        if len(masks) <= _FILLED:
            fill(axes, masks[index], colours[index])
        outline(axes, masks[index], colours[index])


def _line(result: Segmentation, index: int) -> str:
    area, unit = result.areas[index], "mm³" if result.masks.ndim == 4 else "mm²"
    size = f"{result.shares[index]:.1%}" + ("" if area is None else f", {area:,.0f} {unit}")
    found = size if result.pixels[index] else "empty"
    prompt = " ".join(result.prompts[index].split())
    prompt = prompt if len(prompt) <= _LONGEST else f"{prompt[:_LONGEST]} ..."
    return textwrap.fill(f"{prompt}: {found}, existence {result.existence[index]:.2f}", _LETTERS)


def save_picture(result: Segmentation, path: str | Path) -> None:
    """Write `draw_segmentation` as PNG; folders that are missing are made."""
    with replacing(path) as temporary:
        draw_segmentation(result).savefig(temporary, format="png", dpi=120, pil_kwargs={"compress_level": 1})
