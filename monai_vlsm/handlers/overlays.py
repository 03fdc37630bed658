# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of some images with the true and the predicted outline and the prompt."""

from __future__ import annotations

import itertools
import os
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from monai.engines import Workflow
from monai.metrics import compute_dice
from monai.transforms import Resize
from torch import Tensor

from monai_vlsm.handlers.engine_state import batch_names, is_best_epoch
from monai_vlsm.handlers.scores import prompts_of, texts_of
from monai_vlsm.inferers import FEATURES_KEY
from monai_vlsm.io import replacing

__all__ = ["Overlay", "OverlayWriter", "draw_overlay", "evenly_spaced", "fill", "outline"]

# Okabe and Ito: told apart by colour-blind readers, and both visible on dark and on bright tissue
TRUTH, PREDICTION = "#56B4E9", "#E69F00"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # what the images were normalised with


Pictures = Callable[[Mapping[str, Any]], Tensor]


@dataclass(frozen=True)
class Overlay:
    """One image to draw: RGB (H, W, 3) within 0..1, masks (K, H, W) bool, K prompts and Dice scores."""

    name: str
    image: np.ndarray
    truth: np.ndarray
    pred: np.ndarray
    prompts: list[str]
    dice: list[float]
    style: str = ""

    @classmethod
    def of(cls, item: Mapping[str, Any], output: Mapping[str, Any], pictures: Pictures | None = None) -> Overlay:
        """From a decollated batch entry (``image`` normalised, ``prompt``) and output entry (``label``, ``pred``).

        Raises:
            ValueError: when the entry holds features and there is no ``pictures`` that gives its picture.
        """
        truth, pred = (torch.as_tensor(output[key]).detach().cpu().float() for key in ("label", "pred"))
        dice = compute_dice(pred[None], truth[None], ignore_empty=False)[0]
        return cls(
            name=next(iter(batch_names(item)), "image"),
            image=_display_image(_picture(item, pictures), truth.shape[1:]),
            truth=truth.numpy() > 0.5,
            pred=pred.numpy() > 0.5,
            prompts=prompts_of(item, len(truth)),
            dice=dice.tolist(),
            style=next(iter(texts_of(item, "prompt_style", "", len(truth))), ""),
        )


def _picture(item: Mapping[str, Any], pictures: Pictures | None) -> Tensor:
    if FEATURES_KEY not in getattr(item["image"], "meta", {}):
        return item["image"]
    if pictures is None:
        raise ValueError("the batch holds features, not pictures: give OverlayWriter pictures=FeatureDataset.picture")
    return pictures(item)


def _display_image(image: Tensor, size: Sequence[int]) -> np.ndarray:
    """Undo the normalisation of a network input (3, S, S) and give it back its shape: (H, W, 3) within 0..1."""
    pixels = torch.as_tensor(image).detach().cpu().float()
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    resized = Resize(tuple(size), mode="bilinear")(pixels * std + mean)
    return np.asarray(resized).transpose(1, 2, 0).clip(0, 1)


def evenly_spaced(length: int, count: int) -> list[int]:
    """At most ``count`` indices from 0 to ``length - 1``, evenly spaced, with both ends."""
    return sorted({round(index) for index in np.linspace(0, length - 1, min(count, length))})


def draw_overlay(overlay: Overlay) -> Figure:
    """Draw an image: one structure as image, truth, prediction side by side; K structures as columns of two rows."""
    count, (height, width) = len(overlay.truth), overlay.image.shape[:2]
    rows, columns, panel = (1, 3, 3.6) if count == 1 else (2, count, 2.4)
    titles = [_title(overlay, index, width=90 if count == 1 else 26) for index in range(count)]
    # inches for titles, legend and gaps; a layout engine takes three times as long
    above, below, between = 0.4 + 0.2 * max(title.count("\n") + 1 for title in titles), 0.4, 0.05
    figure = Figure(figsize=(panel * columns, (panel * height / width + between) * rows + above + below))
    across, down = figure.get_size_inches()
    grid = figure.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": 0.1 / across,
            "right": 1 - 0.1 / across,
            "bottom": below / down,
            "top": 1 - above / down,
            "wspace": between / panel,
            "hspace": between / panel,
        },
    )
    for axes in grid.flat:
        axes.imshow(overlay.image)
        axes.set_axis_off()
    if count == 1:
        figure.suptitle(titles[0], fontsize=11, y=1 - 0.1 / down, va="top")
        for axes, name in zip(grid[0], ("image", "truth", "prediction"), strict=True):
            axes.set_title(name, fontsize=9, color="0.35")
    for index, (truth, prediction) in enumerate([grid[0, 1:]] if count == 1 else grid.T):
        if count > 1:
            truth.set_title(titles[index], fontsize=10)
        outline(truth, overlay.truth[index], TRUTH)
        fill(prediction, overlay.pred[index], PREDICTION)
        outline(prediction, overlay.truth[index], TRUTH)
        outline(prediction, overlay.pred[index], PREDICTION)
    lines = [
        Line2D([], [], color=TRUTH, lw=2, label="truth"),
        Line2D([], [], color=PREDICTION, lw=2, label="prediction"),
    ]
    figure.legend(handles=lines, loc="lower center", ncols=2, frameon=False, fontsize=10)
    return figure


def _title(overlay: Overlay, index: int, width: int) -> str:
    prompt = textwrap.fill(overlay.prompts[index] or "(no prompt)", width)
    empty = "" if overlay.truth[index].any() else ", no truth"
    return f"{prompt}\nDice {overlay.dice[index]:.3f}{empty}"


def outline(axes: Axes, mask: np.ndarray, colour: str) -> None:
    """Draw the border of a mask, bool ``(H, W)``, on the axes that show its picture."""
    padded = np.pad(mask, 1).astype(float)  # so that the outline closes where the mask touches the border
    if mask.any():
        rows, columns = (np.arange(-1, length + 1) for length in mask.shape)
        limits = axes.axis()
        axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=1.6)
        axes.axis(limits)


def fill(axes: Axes, mask: np.ndarray, colour: str) -> None:
    """Lay a colour over a mask, bool ``(H, W)``, on the axes that show its picture."""
    layer = np.zeros((*mask.shape, 4))
    layer[mask] = to_rgba(colour, 0.3)
    axes.imshow(layer, aspect=axes.get_aspect())


class OverlayWriter:
    """Writes ``<name>.png`` for some validation images of the best epoch, the one whose model is kept.

    The images are evenly spaced over the validation set and the same in every epoch. Shows the truth outlined, the
    prediction filled and outlined, prompt and Dice, in the proportions of the original. Of an image that comes in
    several prompt styles, the first is ``<name>.png`` and further ones ``<name>_<style>.png``. Volumes are left out.
    Attach to the *evaluator*, on all processes (process 0 writes).

    Args:
        output_dir: folder of the pictures, made if needed.
        count: number of pictures, at least 1. None writes one for each image (of process 0), as soon as it is scored;
            that takes a quarter of a second each, so it is meant for evaluations, not for training.
        pictures: gives the network input (3, S, S) of an item whose ``image`` holds cached features
            (`monai_vlsm.caches.FeatureDataset.picture`); not asked for other items.

    Raises:
        ValueError: when ``count`` is less than 1.
    """

    def __init__(
        self, output_dir: str | os.PathLike[str], count: int | None = 6, pictures: Pictures | None = None
    ) -> None:
        if count is not None and count < 1:
            raise ValueError(f"count must be at least 1, got {count}; leave the handler out to get no pictures")
        self.output_dir = Path(output_dir)
        self.count = count
        self.pictures = pictures
        self._overlays: list[Overlay] = []
        self._names: set[str] = set()
        self._numbers: dict[str, Iterator[int]] = {}

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator`` with decollation."""
        if idist.get_rank() != 0:
            return
        engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _clear(self, engine: Workflow) -> None:
        self._overlays, self._names, self._numbers = [], set(), {}

    def _collect(self, engine: Workflow) -> None:
        pairs = list(zip(engine.state.batch, engine.state.output, strict=True))
        if self.count is None:
            for item, output in pairs:
                if output["label"].ndim == 3:
                    self._draw(Overlay.of(item, output, self.pictures))
            return
        item, output = pairs[0]
        chosen = evenly_spaced(engine.state.epoch_length, self.count)
        if engine.state.iteration - 1 in chosen and output["label"].ndim == 3:
            self._overlays.append(Overlay.of(item, output, self.pictures))

    def _write(self, engine: Workflow) -> None:
        overlays, self._overlays = self._overlays, []
        if is_best_epoch(engine):
            for overlay in overlays:
                self._draw(overlay)

    def _draw(self, overlay: Overlay) -> None:
        with replacing(self.output_dir / f"{self._file_stem(overlay)}.png") as path:
            draw_overlay(overlay).savefig(path, format="png", dpi=120, pil_kwargs={"compress_level": 1})

    def _file_stem(self, overlay: Overlay) -> str:
        name = re.sub(r"[^\w.-]+", "_", overlay.name)
        styled = [f"{name}_{overlay.style}"] if overlay.style else []
        # where to go on counting, else the cost grows with the square of equal names
        numbers = self._numbers.setdefault(name, itertools.count(1))
        stems = itertools.chain([name, *styled], (f"{name}_{number}" for number in numbers))
        stem = next(stem for stem in stems if stem not in self._names)
        self._names.add(stem)
        return stem
