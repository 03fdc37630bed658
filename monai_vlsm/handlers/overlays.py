# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images of some images with the true and the predicted outline and the prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.metrics import compute_dice
from PIL import Image
from torch import Tensor

from monai_vlsm import drawing
from monai_vlsm.counts import counted
from monai_vlsm.data.volumes import middle_slice
from monai_vlsm.drawing import PREDICTION, TRUTH
from monai_vlsm.handlers.engine_state import batch_names
from monai_vlsm.handlers.scores import prompts_of, texts_of
from monai_vlsm.inferers import FEATURES_KEY

__all__ = ["Images", "Normalisation", "Overlay", "draw_overlay"]

_SIDE, _SMALL_SIDE = 432, 288  # pixels of a panel: of one structure, of several
_ACROSS, _MOST = 5, 30  # structures in a row, structures that are drawn

Images = Callable[[Mapping[str, Any]], Tensor]


class Normalisation(NamedTuple):
    """Mean and deviation of each channel that images (0..1) were normalised with; here none."""

    mean: Sequence[float] = (0.0, 0.0, 0.0)
    std: Sequence[float] = (1.0, 1.0, 1.0)

    @classmethod
    def of(cls, network: Any) -> Normalisation:
        """That of a network with ``image_mean`` and ``image_std``, or of its DistributedDataParallel wrapper."""
        inner = getattr(network, "module", network)
        return cls(inner.image_mean, inner.image_std) if hasattr(inner, "image_mean") else cls()


@dataclass(frozen=True)
class Overlay:
    """One image to draw, small already: uint8 RGB (h, w, 3), masks (K, h, w) bool, K prompts and Dice scores."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    pred: np.ndarray
    prompts: list[str]
    dice: list[float]
    style: str = ""
    dataset: str = ""

    @classmethod
    def of(
        cls,
        item: Mapping[str, Any],
        output: Mapping[str, Any],
        images: Images | None = None,
        normalisation: Normalisation | None = None,
    ) -> Overlay:
        """From a decollated batch entry (``image``, ``prompt``) and output entry (``label``, ``pred``).

        Raises:
            ValueError: when the entry holds features and there is no ``images`` that gives its image.
        """
        truth, pred = (torch.as_tensor(output[key]).detach().cpu() for key in ("label", "pred"))
        dice = compute_dice(pred[None].float(), truth[None].float(), ignore_empty=False)[0]
        size = drawing.fit_size(truth.shape[1], truth.shape[2], _SIDE if len(truth) == 1 else _SMALL_SIDE)
        return cls(
            name=next(iter(batch_names(item)), "image"),
            image=drawing.fit_image(_display_image(_image(item, images), normalisation or Normalisation()), size),
            truth=drawing.fit_masks(truth.numpy() > 0.5, size),
            pred=drawing.fit_masks(pred.numpy() > 0.5, size),
            prompts=prompts_of(item, len(truth)),
            dice=dice.tolist(),
            style=next(iter(texts_of(item, "prompt_style", "", len(truth))), ""),
            dataset=str(item.get("dataset", "")),
        )


def _image(item: Mapping[str, Any], images: Images | None) -> Tensor:
    if FEATURES_KEY not in getattr(item["image"], "meta", {}):
        return item["image"]
    if images is None:
        raise ValueError("the batch holds features, not images: give OverlayWriter images=FeatureDataset.image")
    return images(item)


def _display_image(image: Tensor, normalisation: Normalisation) -> np.ndarray:
    """Undo the normalisation of a network input (3, S, S): (S, S, 3) within 0..1, the image as it was read.

    Of a slice with its neighbours the slice itself.
    """
    pixels = middle_slice(torch.as_tensor(image)).detach().cpu().float()
    mean, std = (torch.tensor(values)[:, None, None] for values in normalisation)
    return np.asarray(pixels * std + mean).transpose(1, 2, 0).clip(0, 1)


def draw_overlay(overlay: Overlay) -> Image.Image:
    """Draw an image: one structure as image, truth and prediction side by side; several in columns, truth above.

    Each panel can be found by its name and the index of its structure, such as ``truth 0`` (`drawing.cut_panel`).

    Of more than 30 structures the first 30 are drawn, so that the image has a bounded size.
    """
    drawn = min(len(overlay.truth), _MOST)
    left_out = len(overlay.truth) - drawn
    if drawn == 1:
        rows = [_one(overlay)]
    else:
        columns = [_column(overlay, index) for index in range(drawn)]
        rows = [drawing.beside(columns[start : start + _ACROSS], bottom=True) for start in range(0, drawn, _ACROSS)]
        rows = [drawing.below(rows, 12, left=True)]
    more = [drawing.text_block(f"... and {counted(left_out, 'more structure')}", rows[0].width)] if left_out else []
    legend = drawing.legend_block([(TRUTH, "truth"), (PREDICTION, "prediction")], 220, across=True)
    return drawing.below([*rows, *more, legend], margin=10)


def _one(overlay: Overlay) -> Image.Image:
    panels = {"image": overlay.image, "truth": _truth(overlay, 0), "prediction": _prediction(overlay, 0)}
    width = max(overlay.image.shape[1], 80)
    named = [
        drawing.below([drawing.text_block(name, width, 12), drawing.named_panel(panel, f"{name} 0")], 4)
        for name, panel in panels.items()
    ]
    row = drawing.beside(named)
    return drawing.below([drawing.text_block(_title(overlay, 0), max(row.width, 400), lines=8), row])


def _column(overlay: Overlay, index: int) -> Image.Image:
    width = max(overlay.image.shape[1], 140)
    title = drawing.text_block(_title(overlay, index), width, 13, lines=6)
    panels = {"truth": _truth(overlay, index), "prediction": _prediction(overlay, index)}
    return drawing.below([title, *(drawing.named_panel(one, f"{name} {index}") for name, one in panels.items())], 6)


def _truth(overlay: Overlay, index: int) -> np.ndarray:
    masks = overlay.truth[index][None]
    return drawing.paint(overlay.image, masks[:0], masks, [TRUTH])


def _prediction(overlay: Overlay, index: int) -> np.ndarray:
    masks = np.stack([overlay.pred[index], overlay.truth[index]])
    return drawing.paint(overlay.image, masks[:1], masks, [PREDICTION, TRUTH])


def _title(overlay: Overlay, index: int) -> str:
    prompt = " ".join(overlay.prompts[index].split()) or "(no prompt)"
    empty = "" if overlay.truth[index].any() else ", no truth"
    return f"{prompt}\nDice {overlay.dice[index]:.3f}{empty}"
