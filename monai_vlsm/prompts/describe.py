# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All words that a mask and its image give."""

from __future__ import annotations

import numpy as np

from monai_vlsm.prompts.colour import colour_word
from monai_vlsm.prompts.rules import mask_words
from monai_vlsm.prompts.shape import outline_word, shape_word

__all__ = ["describe_mask"]


def describe_mask(image: np.ndarray, mask: np.ndarray) -> dict[str, str]:
    """Words for number, size, location, shape, outline and colour; all but the number are empty for an empty mask.

    Args:
        image: ``(H, W)`` or ``(H, W, 3)``.
        mask: ``(H, W)``; bool, 0/1 or 0/255.

    Raises:
        ValueError: image and mask of different sizes, or a mask of another shape.
    """
    shape = {"shape": shape_word(mask), "outline": outline_word(mask)}
    return mask_words(mask) | shape | {"colour": colour_word(image, mask)}
