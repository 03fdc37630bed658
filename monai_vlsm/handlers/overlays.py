# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images of some images with the true and the predicted outline and the prompt."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from monai.engines import Workflow
from monai.metrics import compute_dice
from PIL import Image
from torch import Tensor

from monai_vlsm import drawing
from monai_vlsm.counts import counted
from monai_vlsm.data.volumes import middle_slice
from monai_vlsm.drawing import PREDICTION, TRUTH
from monai_vlsm.evaluations import OVERLAYS, EvaluationFiles
from monai_vlsm.handlers.engine_state import batch_names, is_best_epoch
from monai_vlsm.handlers.rows import gather_rows
from monai_vlsm.handlers.scores import prompts_of, texts_of
from monai_vlsm.inferers import FEATURES_KEY
from monai_vlsm.names import OverlayNames
from monai_vlsm.outputs import Outputs

__all__ = ["Overlay", "OverlayWriter", "draw_overlay"]

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


def _place(item: Mapping[str, Any], masks: int) -> int:
    """Of an item with so many masks in a shuffled order that follows from its name and style."""
    name, styles = next(iter(batch_names(item)), ""), texts_of(item, "prompt_style", "", masks)
    return zlib.crc32("/".join([name, *styles[:1]]).encode())


def overlay_count(wanted: int | str) -> int | None:
    """How many images a setting asks for: ``"all"``, which becomes None, ``"none"``, which becomes 0, or a number.

    Raises:
        ValueError: anything else.
    """
    if wanted in ("all", "none"):
        return None if wanted == "all" else 0
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
        raise ValueError(f"expected 'all', 'none' or a whole number of at least 0, got {wanted!r}")
    return wanted


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


class OverlayWriter:
    """Writes ``<name>.png`` for some validation images of the best epoch, the one whose model is kept.

    Which images follows from their names alone: the same in every epoch, and for every system however it makes its
    batches, so that systems can be compared on them. Shows the truth outlined, the
    prediction filled and outlined, prompt and Dice, in the proportions of the original. Of an image that comes in
    several prompt styles, the first is ``<name>.png`` and further ones ``<name>_<style>.png``. Volumes are left out.
    Attach to the *evaluator*, on all processes: each draws its part, and process 0 writes. Images of before are
    removed, and files that were not written by this are never replaced.

    Args:
        output_dir: folder of the images, made if needed; or the files of an evaluation, whose folder ``overlays``
            gets them.
        count: number of images. ``"all"`` writes one for each image, as soon as it is scored (those of other processes
            when all are); that takes time, so it is meant for evaluations, not for training. ``"none"``, as 0, writes
            none.
        images: gives the network input (3, S, S) of an item whose ``image`` holds cached features
            (`monai_vlsm.caches.FeatureDataset.image`); not asked for other items.
        mean: what images were normalised with, undone in the image; None takes that of the engine's network, and
            leaves images as they are where it has none.
        std: deviation for ``mean``.

    Raises:
        NotOursError: when it is attached: there are other images in the folder.
        ValueError: another ``count``.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] | EvaluationFiles,
        count: int | str = 6,
        images: Images | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        self.files: EvaluationFiles | None = None
        if isinstance(output_dir, EvaluationFiles):
            self.files, self.outputs = output_dir, output_dir.overlays
        else:
            self.outputs = Outputs(Path(output_dir), OVERLAYS)
        self.count = overlay_count(count)
        self.images = images
        self._given = None if mean is None or std is None else Normalisation(mean, std)
        self._overlays: list[tuple[int, Overlay]] = []  # in the order of `_place`
        self._drawn: list[tuple[str, str, bytes]] = []  # by a process that does not write
        self._names = OverlayNames()
        self._first = True  # nothing of this evaluation has been drawn

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator`` with decollation."""
        if self.count != 0 and idist.get_rank() == 0:
            self.outputs.require_free(path.name for path in sorted(self.outputs.folder.glob("*.png")))
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Workflow) -> None:
        self._overlays, self._names, self._first = [], OverlayNames(), True
        self.outputs.start()

    def _overlay(self, engine: Any, item: Mapping[str, Any], output: Mapping[str, Any]) -> Overlay:
        normalisation = self._given or Normalisation.of(getattr(engine, "network", None))
        return Overlay.of(item, output, self.images, normalisation)

    def _collect(self, engine: Workflow) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            if output["label"].ndim == 3 and self.count is None:
                self._draw(self._overlay(engine, item, output))
            elif output["label"].ndim == 3:
                self._choose(engine, item, output)

    def _choose(self, engine: Any, item: Mapping[str, Any], output: Mapping[str, Any]) -> None:
        """Keep an item if its name is among the first ones, in an order that has nothing to do with the list."""
        own = len(range(idist.get_rank(), self.count or 0, idist.get_world_size()))
        place = _place(item, len(output["label"]))
        if len(self._overlays) < own or (own and place < self._overlays[-1][0]):
            kept = [*self._overlays, (place, self._overlay(engine, item, output))]
            self._overlays = sorted(kept, key=itemgetter(0))[:own]

    def _write(self, engine: Workflow) -> None:
        overlays, self._overlays = self._overlays, []
        if self.count is not None and not is_best_epoch(engine):
            return
        for _, overlay in overlays:
            self._draw(overlay)
        others, self._drawn = gather_rows(self._drawn, engine), []
        if idist.get_rank() == 0:
            for name, style, png in others:
                self._put(name, style, png)
            self.outputs.finish()

    def _draw(self, overlay: Overlay) -> None:
        png = BytesIO()
        drawing.save_png(draw_overlay(overlay), png)
        if idist.get_rank() == 0:
            self._put(overlay.name, overlay.style, png.getvalue())
        else:
            self._drawn.append((overlay.name, overlay.style, png.getvalue()))

    def _put(self, name: str, style: str, png: bytes) -> None:
        """Write an image."""
        if self._first:
            self._first = False
            if self.files is not None:
                self.files.open()
            self.outputs.clear()  # images of before do not lie among these, also when the run is interrupted
        with self.outputs.writing(f"{self._names.stem(name, style)}.png") as path:
            path.write_bytes(png)
