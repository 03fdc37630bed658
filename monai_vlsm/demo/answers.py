# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a model found, kept so that a threshold can be moved without asking it again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from monai_vlsm import drawing
from monai_vlsm.serving import Segmentation, Segmenter
from monai_vlsm.transforms import OrientVolume
from monai_vlsm.transforms.volume_masks import VolumeMasks

__all__ = ["STEPS", "Answer", "ask"]

STEPS = 100
"""Steps of a threshold from 0 to 1; probabilities are kept rounded down to them, so that masks are as exact as any."""
_SIDE = 640


@dataclass(frozen=True)
class Answer:
    """Probabilities of K prompts for one image or volume.

    Args:
        result: what the segmenter said, at its own threshold.
        images: slices to look at, uint8 ``(slices, rows, columns, 3)``; an image is one.
        codes: probabilities in steps of 1 / `STEPS`, uint8 ``(slices, K, rows, columns)``.
        first: the slice with the largest masks, from 0.
    """

    result: Segmentation
    images: np.ndarray
    codes: np.ndarray
    first: int

    def masks(self, threshold: float, number: int) -> np.ndarray:
        """Masks of a slice: bool ``(K, rows, columns)``."""
        return np.asarray(self.codes[number] >= round(threshold * STEPS))

    def picture(self, threshold: float, number: int) -> Image.Image:
        """A slice with its masks in the colours of `rows`."""
        view = self.result.view
        size = drawing.fit_size(self.images.shape[1], self.images.shape[2], _SIDE, view.aspect)
        masks = drawing.fit_masks(self.masks(threshold, number), size)
        image = drawing.fit_image(self.images[number].astype(np.float32) / 255, size)
        painted = drawing.paint(image, masks, masks, drawing.prompt_colours(len(masks)))
        return drawing.marked(painted, view.ends)

    def rows(self, threshold: float, number: int) -> list[dict[str, Any]]:
        """For each prompt its colour, existence score, and how large it is in a slice and in all."""
        codes, spacing, volume = round(threshold * STEPS), self.result.spacing, len(self.images) > 1
        pixels = [int(np.count_nonzero(mask)) for mask in self.masks(threshold, number)]
        sums = [int(np.count_nonzero(self.codes[:, index] >= codes)) for index in range(len(pixels))]
        unit = None if spacing is None else float(np.prod(spacing))
        shares = [count / self.codes[:, 0].size for count in sums]
        columns = zip(
            self.result.prompts,
            drawing.prompt_colours(len(pixels)),
            self.result.existence,
            pixels,
            sums,
            shares,
            strict=True,
        )
        return [
            {
                "prompt": prompt,
                "colour": colour,
                "existence": existence,
                "pixels": count,
                "share": share,
                "size": None if unit is None else total * unit,
                "unit": "mm³" if volume else "mm²",
            }
            for prompt, colour, existence, count, total, share in columns
        ]

    def save(self, folder: Path, threshold: float) -> list[Path]:
        """Write the masks as ``predict`` does, PNG or NIfTI; returns the files."""
        self._at(threshold).save_masks(folder)
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))

    def _at(self, threshold: float) -> Segmentation:
        old = self.result.masks
        if not isinstance(old, VolumeMasks):
            return replace(self.result, threshold=threshold)
        masks = VolumeMasks(old.file, old.plane, len(old), threshold, old.channel)
        for number, codes in enumerate(self.codes):
            inside = codes >= round(threshold * STEPS)
            masks.add(number, torch.from_numpy(np.where(inside, np.maximum(codes / STEPS, threshold), -1)), [0])
        return replace(self.result, masks=masks, threshold=threshold)


def ask(segmenter: Segmenter, file: Path, prompts: Sequence[str]) -> Answer:
    """Segment a file once; errors as `monai_vlsm.serving.Segmenter`."""
    images: list[np.ndarray] = []
    codes: list[np.ndarray] = []

    def keep(image: MetaTensor, probabilities: torch.Tensor) -> None:
        images.append(_bytes(image.as_tensor().cpu().numpy().transpose(1, 2, 0)))
        codes.append(_codes(probabilities.cpu().float().numpy()))

    result = segmenter(file, list(prompts), watch=keep)
    if isinstance(result.masks, VolumeMasks):
        return Answer(result, np.stack(images), np.stack(codes), result.masks.fullest())
    return Answer(result, _bytes(result.view.image)[None], _codes(_upright(result))[None], 0)


def _upright(result: Segmentation) -> np.ndarray:
    """Probabilities as the view shows the image; of a volume that goes through at once the slice of the view."""
    affine = result.meta.get("original_affine")
    turned: Any = OrientVolume()(
        MetaTensor(torch.as_tensor(result.probabilities), affine=affine, meta=dict(result.meta))
    )
    turned = turned.as_tensor().numpy()
    return np.asarray(turned[..., (result.view.slice or 1) - 1] if turned.ndim == 4 else turned)


def _bytes(image: np.ndarray) -> np.ndarray:
    return (np.nan_to_num(image).clip(0, 1) * 255).round().astype(np.uint8)


def _codes(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(np.floor(np.nan_to_num(probabilities) * STEPS + 1e-4), np.uint8)
