# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What counts as a binary mask: one channel from any picture, and the rule that refuses everything else."""

from __future__ import annotations

from functools import reduce

import numpy as np
from PIL import Image, ImageChops, ImageFilter

__all__ = ["binary_fault", "mask_channel"]

# As `monai_vlsm.transforms.BinarizeMask` has it: a largest value in this range is noise of an empty JPEG mask.
NOISE_MIN, NOISE_MAX = 2, 20
OTHER_HUE = 0.005  # share of the inside of all structures
RIM = 7  # pixels, side of the window that must lie in the structure for its middle to be inside
TOLERATED = 0.002  # share of the picture that may have values in between without being an edge
FLAT = 38  # of 255, span of 5 x 5 pixels below which they are an area and not an edge
MOST_BETWEEN = 0.15  # share of the picture in between from which on it is no mask, edges or not
HUE_SPREAD = 0.3  # of the brightest channel; JPEG keeps one hue of a flat area well inside this


def mask_channel(array: np.ndarray) -> np.ndarray:
    """One channel of a mask picture: the brightest of the colour channels at each pixel.

    The background of a mask is black, so any colour that is brighter counts as the structure, whatever its hue.

    Args:
        array: ``(rows, columns)`` or ``(rows, columns, channels)``.

    Returns:
        ``(rows, columns)``, same type.

    Raises:
        ValueError: the colours differ but are all equally bright (such as red on white), so that the rule cannot tell
            the structure from the background.
    """
    if array.ndim == 2:
        return array
    brightest = reduce(np.maximum, np.moveaxis(array, -1, 0))  # ten times as fast as array.max(axis=-1)
    if brightest.min() == brightest.max() and (array != array[:1, :1]).any():
        raise ValueError("colours that are all equally bright, such as red on white; save the mask as black and white")
    return brightest


def binary_fault(array: np.ndarray) -> str | None:
    """Say why a picture is no binary mask; None if it is one.

    Binary are: masks of one value (empty or full), and masks of two values, near 0 and near the largest value, where
    "near" is the lowest and highest quarter of the range from 0 to the largest value. Values in between are allowed on
    edges only (JPEG, smooth or resampled edges; they are not flat), apart from 0.2 % of the picture, and for at most
    15 % of it. A largest value from 2 to 20 is read as noise and must cover less than 0.2 %.
    Coloured structures must have one hue.

    Args:
        array: ``(rows, columns)`` or ``(rows, columns, 3)``.

    Returns:
        a description of what was found, or None.
    """
    try:
        channel = mask_channel(array)
    except ValueError as error:
        return str(error)
    if channel.dtype == np.uint8 and _black_and_white(channel) and _colourless(array):
        return None
    values = channel.astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0:
        return "negative values or values that are not numbers"
    low, high = float(values.min()), float(values.max())
    if low == high:
        return None
    if low > high / 4:
        return f"no dark background: values from {low:g} to {high:g}"
    if NOISE_MIN <= high <= NOISE_MAX:
        return f"a label map, {_populated(values)}" if (values > high / 2).mean() > TOLERATED else None
    if _between(values, high).mean() > TOLERATED:
        return f"more than two values, {_populated(values)}"
    if array.ndim == 3 and _several_hues(array, values > high / 2):
        return "structures of several colours; write one mask for each"
    return None


def _black_and_white(channel: np.ndarray) -> bool:
    """Whether a count of the values alone shows that uint8 is a binary mask, as it does for nearly all."""
    counts = np.array(Image.fromarray(channel).histogram())
    there = np.flatnonzero(counts)
    low, high = int(there[0]), int(there[-1])
    between = counts[high // 4 + 1 : -(-high * 3 // 4)].any()
    return low == high or (low <= high / 4 and not between and not NOISE_MIN <= high <= NOISE_MAX)


def _colourless(array: np.ndarray) -> bool:
    return array.ndim == 2 or all(np.array_equal(array[..., 0], array[..., i]) for i in range(1, array.shape[-1]))


def _between(values: np.ndarray, high: float) -> np.ndarray:
    """Pixels between dark and bright that are no edge but part of a flat area, bool of the same shape."""
    between = (values > high / 4) & (values < high * 3 / 4)
    if not between.any() or between.mean() > MOST_BETWEEN:
        return between
    grey = Image.fromarray((values * (255 / high)).astype(np.uint8))
    span = np.asarray(ImageChops.subtract(grey.filter(ImageFilter.MaxFilter(5)), grey.filter(ImageFilter.MinFilter(5))))
    return between & (span < FLAT)


def _several_hues(array: np.ndarray, structure: np.ndarray) -> bool:
    """Whether the inside of the structure (edges mix colours) has pixels far from its median hue."""
    inside = np.asarray(Image.fromarray(structure.astype(np.uint8)).filter(ImageFilter.MinFilter(RIM))) > 0
    colours = array[inside].astype(np.float32)
    if not len(colours):
        return False
    hues = colours / colours.max(axis=-1, keepdims=True)
    return bool((np.abs(hues - np.median(hues, axis=0)).max(axis=-1) > HUE_SPREAD).mean() > OTHER_HUE)


def _populated(values: np.ndarray) -> str:
    """The most frequent values and their share of the picture."""
    unique, counts = np.unique(values, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:4]
    shares = ", ".join(f"{unique[i]:g} ({counts[i] / values.size:.1%})" for i in order)
    return f"{len(unique)} values: {shares}{', ...' if len(unique) > 4 else ''}"
