# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Predictions for many images, as files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from monai_vlsm.counts import counted
from monai_vlsm.data import made_ahead
from monai_vlsm.handlers.overlay_writer import overlay_count
from monai_vlsm.interrupts import telling
from monai_vlsm.names import file_stem
from monai_vlsm.outputs import PREDICTIONS, GrowingTable, Outputs
from monai_vlsm.progress import progress_bar
from monai_vlsm.serving.overlays import save_overlay
from monai_vlsm.serving.predict import Segmenter
from monai_vlsm.serving.records import Worklist, say_what_stays
from monai_vlsm.serving.segmentation import COLUMNS, MEASURED, Segmentation
from monai_vlsm.transforms.save import distinct_names

__all__ = ["TABLE", "distinct_names", "overlay_file", "predict_records"]

TABLE = "areas.csv"


def overlay_file(name: str) -> str:
    """Where in the output folder the overlay of an image goes."""
    return f"overlays/{file_stem(name, 'image')}.png"


def predict_records(
    segment: Segmenter,
    records: Sequence[Mapping[str, Any]] | Worklist,
    output: str | Path | Outputs,
    overlays: int | str = "all",
) -> str:
    """Write masks, ``overlays/NAME.png`` and ``areas.csv`` for all records, with a progress bar.

    Where the model was asked for an uncertainty, also the maps of entropy.

    What an earlier call left in the folder is removed; what is not from here is never replaced. An image that cannot be
    segmented is left out, and the others are done. The next images are decoded meanwhile, one by each of the
    ``workers`` of the segmenter.

    Args:
        segment: the model.
        records: as from `monai_vlsm.data.load_images`, with `distinct_names`; or with those that are left out already.
        output: folder, made if needed. After an error or Ctrl-C, ``areas.csv`` holds the images that are done.
        overlays: for how many images, evenly spaced, there is an overlay: ``"all"``, ``"none"`` or a number.

    Returns:
        What was written, in one line.

    Raises:
        NotOursError: a file that monai_vlsm did not write has the name of one to be written.
        UnfinishedError: at the end, with the images that could not be segmented and why.
        WriteError: a file cannot be written.
    """
    work = records if isinstance(records, Worklist) else Worklist([dict(record) for record in records])
    outputs = output if isinstance(output, Outputs) else Outputs(output, PREDICTIONS)
    columns = COLUMNS if segment.doubter is None else (*COLUMNS, *MEASURED)
    table, folder = GrowingTable(outputs, TABLE, columns), outputs.folder
    shown_by: Counter[str] = Counter()
    drawn = _chosen(overlays, len(work.records))
    prepared = made_ahead(segment.prepare, work.records, segment.workers, ahead=1)
    with telling(lambda: work.kept(folder / TABLE)), closing(prepared):
        for place, record in enumerate(progress_bar(prepared, "segmenting", len(work.records), unit="image")):
            try:
                result = segment.segment(record)
            except Exception as error:  # readers, transforms and torch raise many kinds; a bad image is not the end
                work.failed(record, error)
                continue
            if not work.done:
                say_what_stays(outputs.clear())
            _write(result, outputs, place in drawn)
            table.add(result.rows())
            shown_by[str(result.meta.get("shown_by"))] += 1
            work.done += 1
    table.close()
    work.finish(folder)
    ends = ", ".join(f"{what} ({count})" for what, count in shown_by.items())
    images = f", overlays in {folder / 'overlays'}" if drawn else ""
    images += f", maps of entropy in {folder / 'uncertainty'}" if segment.doubter is not None else ""
    where = f"masks in {folder}{images}, areas in {folder / TABLE}"
    return f"{counted(work.done, 'image')}: {where}; black and white are the ends of: {ends}"


def _chosen(overlays: int | str, length: int) -> Set[int]:
    """Places of the images that get an overlay: evenly spaced, with both ends."""
    count = overlay_count(overlays)
    chosen = length if count is None else min(count, length)
    return {round(place) for place in np.linspace(0, length - 1, chosen)}


def _write(result: Segmentation, outputs: Outputs, draw: bool) -> None:
    result.save_masks(outputs)
    if result.uncertainty is not None:
        result.save_uncertainty(outputs)
    if not draw:
        return
    with outputs.writing(overlay_file(result.name)) as path:
        save_overlay(result, path)
