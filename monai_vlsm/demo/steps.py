# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Probabilities in hundredths: in a byte each, and masks of them are those of the probabilities to the pixel."""

from __future__ import annotations

import numpy as np

__all__ = ["STEPS", "lowest", "steps_of"]

STEPS = 100
"""Steps of a threshold from 0 to 1."""
_EDGES = np.append(np.arange(STEPS + 1) / STEPS, np.inf).astype(np.float32)  # as a threshold of float32 masks is


def lowest(threshold: float) -> int:
    """The step from which on a pixel is in the mask of a threshold."""
    return round(threshold * STEPS)


def steps_of(probabilities: np.ndarray) -> np.ndarray:
    """How many steps each probability reaches, uint8 of the same shape.

    Args:
        probabilities: float32 from 0 to 1; what is no number becomes 0.
    """
    known = np.nan_to_num(probabilities)
    steps = np.floor(known * STEPS).astype(np.intp)  # one beside the truth where the product was rounded
    steps += known >= _EDGES[steps + 1]
    steps -= known < _EDGES[steps]
    return steps.astype(np.uint8)
