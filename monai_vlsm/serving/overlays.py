# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""An image of a prediction: each prompt in its own colour, named in the legend."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from monai_vlsm import drawing
from monai_vlsm.io import replacing
from monai_vlsm.serving.segmentation import Segmentation

__all__ = ["caption", "draw_segmentation", "save_overlay"]

_SIDE, _LEAST = 512, 480  # pixels: of a panel, of the text below narrow ones
_LONGEST = 200  # letters of a prompt
_FILLED = 4  # with more prompts, only outlines


def draw_segmentation(result: Segmentation) -> Image.Image:
    """The image as it is, and beside it with its masks; below, prompts with existence score and size.

    The image has a bounded size, about 1050 pixels across, whatever the size of the image; of masks nothing vanishes.
    Where the file says how the patient lies, letters at the edges do too. See `monai_vlsm.drawing.paint` for masks that
    lie in each other.
    """
    view, colours = result.view, drawing.prompt_colours(len(result.prompts))
    rows, columns = view.image.shape[:2]
    size = drawing.fit_size(rows, columns, _SIDE, view.aspect)
    plain, masks = drawing.fit_image(view.image, size), drawing.fit_masks(view.masks, size)
    painted = drawing.paint(plain, masks if len(masks) <= _FILLED else masks[:0], masks, colours)
    panels = drawing.beside([drawing.marked(panel, view.ends) for panel in (plain, painted)])
    width = max(panels.width, _LEAST)
    where = "" if view.slice is None else f", slice {view.slice}"
    lines = [caption(result, index) for index in range(len(result.prompts))]
    legend = drawing.legend_block(list(zip(colours, lines, strict=True)), width)
    return drawing.below([drawing.text_block(f"{result.name}{where}", width, lines=3), panels, legend], margin=10)


def caption(result: Segmentation, index: int) -> str:
    """A prompt, how much of the image or volume it is, and its existence score, in one line of bounded length."""
    area, (whole, unit) = result.areas[index], ("volume", "mm³") if result.masks.ndim == 4 else ("image", "mm²")
    size = f"{result.shares[index]:.1%} of the {whole}" + ("" if area is None else f", {area:,.0f} {unit}")
    found = size if result.pixels[index] else "empty"
    prompt = " ".join(result.prompts[index].split())
    prompt = prompt if len(prompt) <= _LONGEST else f"{prompt[:_LONGEST]} ..."
    return f"{prompt}: {found}, existence {result.existence[index]:.2f}"


def save_overlay(result: Segmentation, path: str | Path) -> None:
    """Write `draw_segmentation` as PNG; folders that are missing are made."""
    with replacing(path) as temporary:
        drawing.save_png(draw_segmentation(result), temporary)
