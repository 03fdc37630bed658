# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The transforms in front of a network in inference: those of ``configs/inference.json``, for a network at hand.

A bundle names each step in its JSON, where a user can see and change it. A test compares both, step by step. Two steps
of a bundle are for requests of MONAI Label only, and are not here.
"""

from __future__ import annotations

from typing import Any

from monai.transforms import Compose, LoadImaged

from monai_vlsm.data import ImageFileReader
from monai_vlsm.networks import PromptedNet
from monai_vlsm.transforms import NormalizeImaged, OrientVolumed, ResizeImaged, TokenizePromptd, ToRGBd

__all__ = ["DISPLAY_STEPS", "preprocessing"]

DISPLAY_STEPS = 3
"""After so many steps of `preprocessing` the image is what a person would look at: RGB in 0..1, upright, full size."""


def preprocessing(network: PromptedNet, window: Any = None, plane: str | None = None) -> Compose:
    """From a record ``{"image": path, "prompt": text or K texts, "name"}`` to what a network takes.

    Args:
        network: says image size, normalisation, tokenizer, default prompt and, unless others are given, window
            and plane.
        window: which values of images other than 8-bit become black and white (`monai_vlsm.transforms.ToRGBd`).
        plane: of volumes (`monai_vlsm.transforms.OrientVolume`).
    """
    reader: Any = ImageFileReader()  # MONAI takes readers too, its annotation names only their classes
    return Compose(
        [
            LoadImaged("image", reader=reader, ensure_channel_first=True, dtype=None),
            ToRGBd("image", window=network.window if window is None else window, slices=network.slices),
            OrientVolumed("image", plane=network.plane if plane is None else plane),
            ResizeImaged("image", size=network.image_size),
            NormalizeImaged("image", network.image_mean, network.image_std),
            TokenizePromptd("prompt", tokenizer=network.backbone, default_prompt=network.default_prompt),
        ]
    )
