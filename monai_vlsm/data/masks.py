# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What counts as a binary mask: one channel from any image, and the rule that refuses everything else."""

from __future__ import annotations

from functools import reduce

import numpy as np
from PIL import Image

from monai_vlsm.data.colours import colour_fault
from monai_vlsm.data.levels import between_fault, label_fault, label_map_fault

__all__ = ["binary_fault", "mask_channel", "without_noise"]

NOISE_MIN, NOISE_MAX = 2, 20
"""A largest value in this range is what lossy compression makes of an empty mask."""
NOISE_SHARE = 0.002  # of the image, that noise may cover above half of its largest value

DIM = 10  # times darker than the brightest, what a colour is not told of


def mask_channel(array: np.ndarray) -> np.ndarray:
    """One channel of a mask image: the brightest of the colour channels at each pixel.

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


def without_noise(channel: np.ndarray) -> np.ndarray:
    """An empty mask that lossy compression gave a few values from 2 to 20, as 0; every other mask as it is.

    Only for files that are compressed so (:func:`monai_vlsm.data.lossy.is_lossy`): elsewhere such values were meant.

    Args:
        channel: ``(rows, columns)`` of any type.
    """
    return np.zeros_like(channel) if _is_noise(channel) else channel


def _is_noise(channel: np.ndarray) -> bool:
    low, high = channel.min(), channel.max()
    return bool(low < high and NOISE_MIN <= high <= NOISE_MAX and (channel > high / 2).mean() <= NOISE_SHARE)


def binary_fault(array: np.ndarray, lossy: bool = False) -> str | None:
    """Say why an image is no binary mask; None if it is one.

    A mask has one value (empty or full), or two, of which the darker is at most a quarter of the brighter. More values
    are judged by :func:`monai_vlsm.data.levels.label_fault` as what they are, a label map or smooth edges; after lossy
    compression by :func:`monai_vlsm.data.levels.between_fault`. Structures have one colour
    (:func:`monai_vlsm.data.colours.colour_fault`).

    Args:
        array: ``(rows, columns)`` or ``(rows, columns, 3)``.
        lossy: whether the file is compressed so that values change; then a largest value from 2 to 20 is noise of an
            empty mask if it covers less than 0.2 % of the image.

    Returns:
        a description of what was found and what to do, or None.
    """
    try:
        channel = mask_channel(array)
    except ValueError as error:
        return str(error)
    if channel.dtype == np.uint8 and _two_values(channel) and _colourless(array):
        return None
    values = channel.astype(np.float32) if channel.dtype != np.float64 else channel
    if not np.isfinite(values).all() or values.min() < 0:
        return "negative values or values that are not numbers; save the mask with 0 and 1, or 0 and 255"
    low, high = float(values.min()), float(values.max())
    if low == high or (lossy and _is_noise(values)):
        return None
    if low > high / 4:
        return f"no dark background: values from {low:g} to {high:g}"
    levels = _level_fault(values, high) if lossy else label_fault(channel)
    if array.ndim == 2:
        return levels
    # classes of unequal brightness have their colours named too
    return colour_fault(array, values > (high / DIM if levels else high / 2), lossy) or levels


def _level_fault(values: np.ndarray, high: float) -> str | None:
    """The same after lossy compression."""
    if NOISE_MIN <= high <= NOISE_MAX:
        return label_map_fault(values)
    return between_fault(values)


def _two_values(channel: np.ndarray) -> bool:
    """Whether a count of the values alone shows that uint8 is a binary mask, as it does for nearly all."""
    there = np.flatnonzero(Image.fromarray(channel).histogram())
    return len(there) == 1 or (len(there) == 2 and there[0] <= there[1] / 4)


def _colourless(array: np.ndarray) -> bool:
    return array.ndim == 2 or all(np.array_equal(array[..., 0], array[..., i]) for i in range(1, array.shape[-1]))
