# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Colours of prompts, the same in overlays and in label maps."""

from __future__ import annotations

__all__ = ["PREDICTION", "TRUTH", "prompt_colours", "rgb"]

# Okabe and Ito: told apart by colour-blind readers, and both visible on dark and on bright tissue
TRUTH, PREDICTION = "#56B4E9", "#E69F00"

# Okabe and Ito, without black: told apart by colour-blind readers
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#D55E00", "#CC79A7", "#0072B2")
_DARK, _BRIGHT = 0.08, 0.95  # of the colour map; its ends are nearly black


def prompt_colours(count: int) -> list[str]:
    """One colour for each of ``count`` prompts, as ``#RRGGBB``."""
    if count <= len(_COLOURS):
        return list(_COLOURS[:count])
    from matplotlib import colormaps  # takes a quarter of a second, and is needed for many prompts only
    from matplotlib.colors import to_hex

    places = [_DARK + (_BRIGHT - _DARK) * (index + 0.5) / count for index in range(count)]
    return [to_hex(colormaps["turbo"](place)).upper() for place in places]


def rgb(colour: str) -> tuple[int, int, int]:
    """``#RRGGBB`` as three numbers from 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
