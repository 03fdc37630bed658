# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether the structures of a mask in colour are of one colour."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

__all__ = ["colour_fault"]

EXACT = 16  # colours that an image may have at most to be judged by them as they are; smooth edges make more
NEAR = 0.1  # of the brightest channel, up to which colours as they were saved are one
FAR = 0.3  # and colours of areas, after compression or with smooth edges; JPEG keeps one hue well inside this
RIM = 7  # pixels, side of the window that must lie in the structure for its middle to be inside
INSIDE = 0.005  # share of the inside of all structures that may have another colour
CELL = 8  # pixels, side of the areas of which colours are averaged, as JPEG does
LEAST = 4  # pixels of a cell that tell its colour
APART = 0.4  # of the brightest channel, from which on cells have another colour: those at rims are mixed
CELLS = 0.05  # share of the structures, counted by cells, that may have another colour
SHOWN = 4
NAMES = {
    "white": (1, 1, 1),
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "cyan": (0, 1, 1),
    "magenta": (1, 0, 1),
    "orange": (1, 0.5, 0),
    "purple": (0.5, 0, 1),
    "pink": (1, 0.6, 0.7),
}

Counted = tuple[np.ndarray, np.ndarray]  # colours, (n, 3), and how often each is there


def colour_fault(array: np.ndarray, structure: np.ndarray, lossy: bool) -> str | None:
    """Name the colours of the structures, if they are several; None if they are one.

    Colours are compared by hue, which is what they are when their brightest channel is 1: dark edges on black have the
    hue of their structure. Colours as they were saved are compared one by one. Those of lossy files, and of images
    with more than 16, are compared inside of wide structures, and for thin ones by their mean over 8 x 8 pixels.

    Args:
        array: ``(rows, columns, 3)``.
        structure: bool, ``(rows, columns)``.
        lossy: whether the file is compressed so that values change.
    """
    exact = None if lossy else _exact(array, structure)
    if exact is not None:
        return _several(exact, NEAR, 0)
    return _several(_inside(array, structure), FAR, INSIDE) or _several(_cells(array), APART, CELLS)


def _exact(array: np.ndarray, structure: np.ndarray) -> Counted | None:
    """The colours of the structures as they are, if the image has few."""
    if array.dtype != np.uint8:
        return None
    counted = Image.fromarray(array * structure[..., None]).getcolors(EXACT)
    return None if counted is None else _without_black([c for _, c in counted], [n for n, _ in counted])


def _inside(array: np.ndarray, structure: np.ndarray) -> Counted:
    """The pixels that are not near an edge, which mixes colours."""
    inside = np.asarray(Image.fromarray(structure.astype(np.uint8)).filter(ImageFilter.MinFilter(RIM))) > 0
    return _without_black(array[inside], np.ones(int(inside.sum())))


def _cells(array: np.ndarray) -> Counted:
    """The mean colours of small areas, each as often as it has pixels that are not dark."""
    brightest = array.max(axis=-1)
    bright = brightest > brightest.max() / 4  # after compression, thin blue is below half of thin green
    rows, columns = np.nonzero(bright)
    cell = rows // CELL * (array.shape[1] // CELL + 1) + columns // CELL
    counts = np.bincount(cell)
    sums = np.stack([np.bincount(cell, channel[bright]) for channel in np.moveaxis(array, -1, 0)], axis=-1)
    enough = counts >= LEAST
    return _without_black(sums[enough] / counts[enough, None], counts[enough])


def _without_black(colours: object, counts: object) -> Counted:
    pixels = np.asarray(colours, np.float32).reshape(-1, 3)
    coloured = pixels.max(axis=-1) > 0
    return pixels[coloured], np.asarray(counts)[coloured]


def _several(counted: Counted, tolerance: float, share: float) -> str | None:
    colours, counts = counted
    if not len(colours):
        return None
    hues = _hues(colours)
    other = np.abs(hues - _median(hues, counts)).max(axis=-1) > tolerance
    if counts[other].sum() <= share * counts.sum():
        return None
    advice = 'write one mask for each, or name the colours in labels.json beside the list, {"#ff0000": "NAME"}'
    return f"structures of several colours, {_named(colours, counts, tolerance)}; {advice}"


def _hues(colours: np.ndarray) -> np.ndarray:
    hues: np.ndarray = colours / colours.max(axis=-1, keepdims=True)
    return hues


def _median(hues: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Of each channel, every hue taken as often as it is there."""
    order = np.argsort(hues, axis=0)
    reached = np.cumsum(counts[order], axis=0) >= counts.sum() / 2
    return np.array([hues[order[reached[:, i].argmax(), i], i] for i in range(3)])


def _named(colours: np.ndarray, counts: np.ndarray, tolerance: float) -> str:
    """The most frequent colours, each with a word, its values and its share of the structures."""
    hues, left = _hues(colours), np.ones(len(colours), bool)
    parts: list[str] = []
    while left.any() and len(parts) < SHOWN:
        lead = np.argmax(np.where(left, counts, 0))
        group = left & (np.abs(hues - hues[lead]).max(axis=-1) <= tolerance)
        word = min(NAMES, key=lambda name: float(np.abs(hues[lead] - NAMES[name]).sum()))
        values = ", ".join(f"{value:.0f}" for value in np.average(colours[group], axis=0, weights=counts[group]))
        parts.append(f"{word} ({values}) {counts[group].sum() / counts.sum():.1%}")
        left &= ~group
    return ", ".join(parts)
