# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Overlays: images with outlined masks, titles and legends, with Pillow and NumPy and of a bounded size."""

from monai_vlsm.drawing.colours import PREDICTION, TRUTH, prompt_colours
from monai_vlsm.drawing.ends import Ends, patient_ends
from monai_vlsm.drawing.page import below, beside, legend_block, marked, save_png, text_block, text_lines
from monai_vlsm.drawing.panels import fit_image, fit_masks, fit_size, outline, paint
from monai_vlsm.drawing.places import cut_panel, named_panel

__all__ = [
    "PREDICTION",
    "TRUTH",
    "Ends",
    "below",
    "beside",
    "cut_panel",
    "fit_image",
    "fit_masks",
    "fit_size",
    "legend_block",
    "marked",
    "named_panel",
    "outline",
    "paint",
    "patient_ends",
    "prompt_colours",
    "save_png",
    "text_block",
    "text_lines",
]
