# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Predictions for many images, as files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.utils import ensure_tuple
from tqdm import tqdm

from monai_vlsm.serving.pictures import save_picture
from monai_vlsm.serving.predict import Segmenter
from monai_vlsm.serving.segmentation import COLUMNS
from monai_vlsm.transforms.save import file_stem, mask_stems

__all__ = ["distinct_names", "predict_records"]


def distinct_names(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records, with -2, -3, ... behind a name whose files would take the place of another record's.

    Names that differ can still make equal file names: "scan 1" and "scan_1"; or "a" with the prompt "left lung" and
    "a_left" with the prompt "lung".

    Args:
        records: ``{"name", "prompt", ...}``.
    """
    taken: set[str] = set()
    distinct = []
    for record in records:
        name, number = record["name"], 1
        while taken & (files := _files(name, record["prompt"])):
            number += 1
            name = f"{record['name']}-{number}"
        taken |= files
        distinct.append({**record, "name": name})
    return distinct


def _files(name: str, prompt: str | Sequence[str]) -> set[str]:
    return {f"overlays/{file_stem(name)}", *mask_stems(name, ensure_tuple(prompt))}


def predict_records(segment: Segmenter, records: Sequence[Mapping[str, Any]], output: str | Path) -> str:
    """Write masks, ``overlays/NAME.png`` and ``areas.csv`` for all records, with a progress bar.

    Args:
        segment: the model.
        records: as from `monai_vlsm.data.load_images`, checked, with `distinct_names`.
        output: folder, made if needed. After an error or Ctrl-C, ``areas.csv`` holds the images that are done.

    Returns:
        What was written, in one line.
    """
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    table = output / "areas.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for record in tqdm(records, "segmenting", unit="image"):
            result = segment.segment(record)
            result.save_masks(output)
            save_picture(result, output / "overlays" / f"{file_stem(result.name)}.png")
            writer.writerows(result.rows())
            file.flush()
    return f"{len(records)} images: masks in {output}, pictures in {output / 'overlays'}, areas in {table}"
