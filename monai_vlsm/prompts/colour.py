# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The colour inside a mask, in one word, from hue, saturation and value of the median pixel.

The median of red, green and blue inside the mask is turned into hue (degrees), saturation and value (0..1). The first
row that fits gives the word:

====================  ===================  ==============  =======
hue                   saturation           value           word
====================  ===================  ==============  =======
any                   any                  below 0.20      black
any                   below 0.12           from 0.75       white
any                   below 0.12           below 0.75      gray
335 to 15             below 0.55           from 0.60       pink
335 to 15             any                  below 0.45      brown
335 to 15             any                  from 0.45       red
15 to 45              any                  below 0.60      brown
15 to 45              below 0.45           from 0.60       tan
15 to 45              from 0.45            from 0.60       orange
45 to 70              any                  below 0.45      brown
45 to 70              any                  from 0.45       yellow
70 to 170             any                  any             green
170 to 260            any                  any             blue
260 to 335            any                  any             purple
====================  ===================  ==============  =======
"""

from __future__ import annotations

import colorsys

import numpy as np

__all__ = ["colour_of", "colour_word"]

# hue to, saturation below, value from, value below, word; the first that fits
_ROWS: tuple[tuple[float, float, float, float, str], ...] = (
    (15, 0.55, 0.60, 2, "pink"),
    (15, 2, 0, 0.45, "brown"),
    (15, 2, 0, 2, "red"),
    (45, 2, 0, 0.60, "brown"),
    (45, 0.45, 0, 2, "tan"),
    (45, 2, 0, 2, "orange"),
    (70, 2, 0, 0.45, "brown"),
    (70, 2, 0, 2, "yellow"),
    (170, 2, 0, 2, "green"),
    (260, 2, 0, 2, "blue"),
    (335, 2, 0, 2, "purple"),
)
BLACK, COLOURLESS, WHITE = 0.20, 0.12, 0.75
RED_FROM = 335.0  # degrees; hues from here on are taken as negative


def colour_word(image: np.ndarray, mask: np.ndarray) -> str:
    """The colour of the pixels inside a mask; empty for an empty mask.

    Args:
        image: ``(H, W)`` grey or ``(H, W, 3)`` RGB; 8-bit, or of any type with values from 0 to its largest.
        mask: ``(H, W)``, whatever is above zero counts.

    Raises:
        ValueError: another number of channels or other sizes.
    """
    if image.shape[:2] != mask.shape or image.shape[2:] not in ((), (1,), (3,)):
        raise ValueError(f"image must be (H, W) or (H, W, 3) with the mask's H and W, got {image.shape}, {mask.shape}")
    inside = image[mask > 0].reshape(-1, 1 if image.ndim == 2 else image.shape[2])
    if not len(inside):
        return ""
    scale = 255.0 if image.dtype == np.uint8 else max(float(image.max()), 1e-12)
    red, green, blue = np.broadcast_to(np.median(inside, axis=0) / scale, 3)
    return colour_of(float(red), float(green), float(blue))


def colour_of(red: float, green: float, blue: float) -> str:
    """The word for one colour, each channel within 0..1."""
    turn, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < BLACK:
        return "black"
    if saturation < COLOURLESS:
        return "white" if value >= WHITE else "gray"
    hue = turn * 360 - (360 if turn * 360 >= RED_FROM else 0)
    fitting = (word for to, soft, low, high, word in _ROWS if hue < to and saturation < soft and low <= value < high)
    return next(fitting)
