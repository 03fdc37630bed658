# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Writes overlays of some images of a validation."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import ignite.distributed as idist
from ignite.engine import Events
from monai.engines import Workflow

from monai_vlsm import drawing
from monai_vlsm.evaluations import OVERLAYS, EvaluationFiles
from monai_vlsm.handlers.engine_state import batch_names, is_best_epoch
from monai_vlsm.handlers.overlays import Images, Normalisation, Overlay, draw_overlay
from monai_vlsm.handlers.rows import gather_rows
from monai_vlsm.handlers.scores import texts_of
from monai_vlsm.names import OverlayNames
from monai_vlsm.outputs import Outputs

__all__ = ["OverlayWriter", "keys_of", "overlay_count"]

Key = tuple[str, str, str]  # dataset, name, style
_Shuffled = tuple[int, tuple[str, str]]  # two texts behind a number that gives them their order


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


def keys_of(item: Mapping[str, Any], masks: int) -> list[Key]:
    """What tells the rows of an item with so many masks apart in ``metrics.csv``."""
    name = next(iter(batch_names(item)), "")
    return [(str(item.get("dataset", "")), name, style) for style in texts_of(item, "prompt_style", "", masks)]


class _Row(NamedTuple):
    """An item, by its image (dataset, image_id) and by its record (name, style)."""

    image: _Shuffled
    record: _Shuffled

    @classmethod
    def of(cls, item: Mapping[str, Any], key: Key) -> _Row:
        return cls(_shuffled((key[0], str(item.get("image_id", key[1])))), _shuffled(key[1:]))


def _first(rows: Sequence[_Row], count: int | None) -> list[int]:
    """Indices of the rows to draw, each of another image while there are any, in an order that follows from names.

    It has nothing to do with the order of the rows: of some rows and those that are first among others, the same are
    first as of all of them.
    """
    taken: Counter[_Shuffled] = Counter()
    places = []
    for index in sorted(range(len(rows)), key=lambda one: rows[one].record):
        image = rows[index].image
        places.append((taken[image], image, index))
        taken[image] += 1
    return [index for *_, index in sorted(places)[:count]]


def _comes_last(row: _Row, first: Sequence[_Row]) -> bool:
    """Whether a row would come behind all of some that are in the order of `_first`; much quicker than that."""
    records = [one.record for one in first if one.image == row.image]
    last = first[-1].image
    taken = sum(one.image == last for one in first) - 1
    return all(record <= row.record for record in records) and (len(records), row.image) > (taken, last)


def _shuffled(texts: tuple[str, str]) -> _Shuffled:
    return zlib.crc32("/".join(texts).encode()), texts


class _Names:
    """Gives each overlay the file name by which `monai_vlsm.statistics` finds it.

    It follows from all rows in their order, not from those that are drawn.
    """

    def __init__(self) -> None:
        self._names = OverlayNames()
        self._seen: set[Key] = set()
        self._free: dict[Key, str] = {}

    def see(self, keys: Sequence[Key]) -> None:
        """Rows, in their order."""
        for key in dict.fromkeys(keys):
            if key not in self._seen:
                self._seen.add(key)
                self._free[key] = self._names.stem(*key[1:])

    def take(self, key: Key) -> str:
        """The name of a drawing; a second one of the same rows gets a number."""
        return self._free.pop(key, None) or self._names.stem(*key[1:])


class OverlayWriter:
    """Writes ``<name>.png`` for some validation images of the best epoch, the one whose model is kept.

    Which images follows from their names alone: the same in every epoch, and for every system however it makes its
    batches, on however many processes, so that systems can be compared on them; a second record of an image comes when
    all images are shown. Shows the truth outlined, the
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
        self._overlays: list[tuple[_Row, Overlay]] = []  # those that are first by now
        self._keys: list[Key] = []  # of all rows of this process
        self._drawn: list[tuple[Key, bytes]] = []  # what is not written yet
        self._names = _Names()
        self._first = True  # nothing of this evaluation has been drawn

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator`` with decollation."""
        if self.count != 0 and idist.get_rank() == 0:
            self.outputs.require_free(path.name for path in sorted(self.outputs.folder.glob("*.png")))
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _start(self, engine: Workflow) -> None:
        self._overlays, self._keys, self._names, self._first = [], [], _Names(), True
        self.outputs.start()

    def _overlay(self, engine: Any, item: Mapping[str, Any], output: Mapping[str, Any]) -> Overlay:
        normalisation = self._given or Normalisation.of(getattr(engine, "network", None))
        return Overlay.of(item, output, self.images, normalisation)

    def _collect(self, engine: Workflow) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            keys = keys_of(item, len(output["label"]))
            self._keys += keys
            if output["label"].ndim == 3 and self.count is None:
                self._draw(self._overlay(engine, item, output))
                self._put_now(keys)
            elif output["label"].ndim == 3 and self.count:
                self._choose(engine, item, output, _Row.of(item, keys[0]))

    def _choose(self, engine: Any, item: Mapping[str, Any], output: Mapping[str, Any], row: _Row) -> None:
        """Keep an item if it is among the first ones, and those of before that still are."""
        rows = [one for one, _ in self._overlays]
        if len(rows) == self.count and _comes_last(row, rows):
            return
        overlays = [*self._overlays, (row, self._overlay(engine, item, output))]
        self._overlays = [overlays[index] for index in _first([*rows, row], self.count)]

    def _write(self, engine: Workflow) -> None:
        overlays, self._overlays = self._overlays, []
        if self.count is not None and not is_best_epoch(engine):
            return
        rank = idist.get_rank()
        rows = gather_rows([(row, (rank, index)) for index, (row, _) in enumerate(overlays)], engine)
        chosen = {rows[index][1] for index in _first([row for row, _ in rows], self.count)}
        for index, (_, overlay) in enumerate(overlays):
            if (rank, index) in chosen:
                self._draw(overlay)
        keys, drawn = gather_rows(self._keys, engine), gather_rows(self._drawn, engine)
        self._drawn = []
        if rank == 0:
            self._names.see(keys)
            for key, png in drawn:
                self._put(key, png)
            self.outputs.finish()

    def _draw(self, overlay: Overlay) -> None:
        png = BytesIO()
        drawing.save_png(draw_overlay(overlay), png)
        self._drawn.append(((overlay.dataset, overlay.name, overlay.style), png.getvalue()))

    def _put_now(self, keys: Sequence[Key]) -> None:
        """Write what process 0 has drawn as soon as it is there."""
        if idist.get_rank() == 0:
            self._names.see(keys)
            ((key, png),), self._drawn = self._drawn, []
            self._put(key, png)

    def _put(self, key: Key, png: bytes) -> None:
        """Write an image."""
        if self._first:
            self._first = False
            if self.files is not None:
                self.files.open()
            self.outputs.clear()  # images of before do not lie among these, also when the run is interrupted
        with self.outputs.writing(f"{self._names.take(key)}.png") as path:
            path.write_bytes(png)
