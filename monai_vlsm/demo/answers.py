# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a model found, kept so that a threshold can be moved without asking it again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from PIL import Image

from monai_vlsm import drawing
from monai_vlsm.data.volumes import Address, volumes_in
from monai_vlsm.demo.steps import STEPS, lowest, steps_of
from monai_vlsm.serving import Segmentation, Segmenter
from monai_vlsm.transforms import OrientVolume
from monai_vlsm.transforms.volume_masks import VolumeMasks

__all__ = ["Answer", "ask"]

_SIDE = 640


@dataclass(frozen=True)
class Answer:
    """Probabilities of K prompts for one image or volume.

    Args:
        result: what the segmenter said, at its own threshold.
        images: slices to look at, uint8 ``(slices, rows, columns, 3)``; an image is one.
        steps: probabilities in steps (`monai_vlsm.demo.steps`), uint8 ``(slices, K, rows, columns)``.
        first: the slice with the largest masks, from 0.
        cut: of each prompt what was not read, in a few words (`monai_vlsm.serving.Segmenter.cut`).
        channel: which volume of a file of several; None for other files.
    """

    result: Segmentation
    images: np.ndarray
    steps: np.ndarray
    first: int
    cut: Sequence[str]
    channel: int | None = None

    @property
    def bytes(self) -> int:
        """Memory that it takes, about."""
        found = self.result.probabilities
        return self.images.nbytes + self.steps.nbytes + (0 if found is None else found.nbytes)

    def overlay(self, threshold: float, number: int, opacity: float) -> Image.Image:
        """A slice with its masks in the colours of `rows`."""
        view = self.result.view
        size = drawing.fit_size(self.images.shape[1], self.images.shape[2], _SIDE, view.aspect)
        masks = drawing.fit_masks(self.steps[number] >= lowest(threshold), size)
        image = drawing.fit_image(self.images[number].astype(np.float32) / 255, size)
        painted = drawing.paint(image, masks, masks, drawing.prompt_colours(len(masks)), opacity)
        return drawing.marked(painted, view.ends)

    def rows(self, threshold: float, number: int) -> list[dict[str, Any]]:
        """For each prompt its colour, existence score, and how large it is in a slice and in all."""
        colours = drawing.prompt_colours(len(self.result.prompts))
        return [self._row(index, lowest(threshold), number, colour) for index, colour in enumerate(colours)]

    def _row(self, index: int, step: int, number: int, colour: str) -> dict[str, Any]:
        spacing, total = self.result.spacing, int(self._totals[index, step])
        return {
            "prompt": self.result.prompts[index],
            "cut": self.cut[index],
            "colour": colour,
            "existence": self.result.existence[index],
            "pixels": int(np.count_nonzero(self.steps[number, index] >= step)),
            "share": total / self.steps[:, index].size,
            "size": None if spacing is None else total * math.prod(spacing),
            "unit": "mm³" if len(self.steps) > 1 else "mm²",
        }

    @cached_property
    def _totals(self) -> np.ndarray:
        """Pixels of all slices that reach each step, ``(K, STEPS + 1)``: a slider need not count them again."""
        counts = [np.bincount(steps.ravel(), minlength=STEPS + 1) for steps in self.steps.swapaxes(0, 1)]
        return np.asarray(np.stack(counts)[:, ::-1].cumsum(axis=1)[:, ::-1])

    def save(self, folder: Path, threshold: float) -> list[Path]:
        """Write the masks as ``predict`` does, PNG or NIfTI; returns the files.

        Where masks of a volume overlap at another threshold than that of the segmenter, the label map has the more
        probable prompt by whole steps, and of equal ones the first.
        """
        self._at(threshold).save_masks(folder)
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))

    def _at(self, threshold: float) -> Segmentation:
        old = self.result.masks
        if threshold == self.result.threshold:
            return self.result
        if not isinstance(old, VolumeMasks):
            return replace(self.result, threshold=threshold)
        masks = VolumeMasks(old.file, old.plane, len(old), threshold, old.channel)
        for number, steps in enumerate(self.steps):
            inside = steps >= lowest(threshold)
            masks.add(number, torch.from_numpy(np.where(inside, np.maximum(steps / STEPS, threshold), -1)), [0])
        return replace(self.result, masks=masks, threshold=threshold)


def ask(segmenter: Segmenter, file: Path, prompts: Sequence[str], channel: int | None = None) -> Answer:
    """Segment a file once.

    Args:
        segmenter: the model.
        file: of the image or volume.
        prompts: K texts.
        channel: which volume of a file of several; None takes that of the model, and where it has none the first.

    Raises:
        UserError: as `monai_vlsm.serving.Segmenter`.
    """
    images: list[np.ndarray] = []
    steps: list[np.ndarray] = []

    def keep(image: MetaTensor, probabilities: torch.Tensor) -> None:
        images.append(_bytes(image.as_tensor().cpu().numpy().transpose(1, 2, 0)))
        steps.append(steps_of(probabilities.cpu().float().numpy()))

    chosen = None if volumes_in(file) == 1 else (segmenter.channel or 0) if channel is None else channel
    result = segmenter(str(Address(str(file), channel=chosen)), list(prompts), watch=keep)
    cut = [segmenter.cut(prompt) for prompt in prompts]
    if isinstance(result.masks, VolumeMasks):
        return Answer(result, np.stack(images), np.stack(steps), result.masks.fullest(), cut, chosen)
    return Answer(result, _bytes(result.view.image)[None], steps_of(_upright(result))[None], 0, cut, chosen)


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
