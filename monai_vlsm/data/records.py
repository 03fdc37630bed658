# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From rows to records: one for each structure, or one for each image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.rows import Row

__all__ = ["Record", "records_of", "unique_names"]

Record = dict[str, Any]


def records_of(rows: Sequence[Row], dataset: str, multi_prompt: bool = False, absent: bool = False) -> list[Record]:
    """Records in the order of the rows.

    Args:
        rows: of one list.
        dataset: its name.
        multi_prompt: False: a record for each row. True: one for each image, with lists of K masks and
            K prompts, K of each its own.
        absent: with ``"absent"``, ``{"prompt", "structure"}`` of each class that is truly not in the image; only where
            all rows are of label maps, which tell.
    """
    absent = absent and all(row.name for row in rows)
    records = _together(rows) if multi_prompt else _separate(rows)
    images = {str(row.image): row for row in rows} if absent else {}
    shared: dict[tuple[str, ...], list[dict[str, Any]]] = {}  # many slices lack the same
    for record in records:
        record["dataset"] = dataset
        if absent:
            classes = images[record["image"]].absent
            found = [{"prompt": one.prompt, "structure": one.name} for one in classes]
            record["absent"] = shared.setdefault(tuple(one.name for one in classes), found)
    return records


def _separate(rows: Sequence[Row]) -> list[Record]:
    images = _image_names(rows)
    count = Counter(row.image for row in rows)
    named = [bool(row.name) or count[row.image] > 1 for row in rows]
    names = [
        _structure_name(row, images[row.image]) if own else images[row.image]
        for row, own in zip(rows, named, strict=True)
    ]
    return [
        {"image": str(row.image), "label": str(row.mask), "prompt": row.prompt, "tags": row.tags, "name": name}
        | _of_image(row, images[row.image])
        | {"structure": row.structure or ""}
        for row, name in zip(rows, unique_names(names), strict=True)
    ]


def _together(rows: Sequence[Row]) -> list[Record]:
    names = _image_names(rows)
    records: dict[Path, Record] = {}
    for row in rows:
        name = names[row.image]
        record = records.setdefault(
            row.image,
            {"image": str(row.image), "label": [], "prompt": [], "tags": [], "name": name}
            | _of_image(row, name)
            | {"structure": []},
        )
        record["label"].append(str(row.mask))
        record["prompt"].append(row.prompt)
        record["tags"].append(row.tags)
        record["structure"].append(row.structure or "")
    return list(records.values())


def _of_image(row: Row, name: str) -> Record:
    """What all records of an image share."""
    told = {"modality": row.modality} if row.modality else {}
    return {"image_id": name, "patient": row.patient or "", "case": row.case, **told}


def _image_names(rows: Sequence[Row]) -> Mapping[Path, str]:
    images = list(dict.fromkeys(row.image for row in rows))
    own = {row.image: row.name for row in rows}
    return dict(zip(images, unique_names([own[image] or image_stem(image) for image in images]), strict=True))


def _structure_name(row: Row, image: str) -> str:
    """The image and the structure's own name; without one, the mask's, which mostly begins with the image's."""
    structure = (row.structure or image_stem(row.mask)).replace(" ", "_").replace("/", "_")
    return structure if structure.startswith(image) else f"{image}_{structure}"


def unique_names(names: Sequence[str]) -> list[str]:
    """The names, with -2, -3, ... behind those that came before."""
    taken: set[str] = set()
    last: dict[str, int] = {}  # where to go on counting, else the cost grows with the square of equal names
    result = []
    for name in names:
        number, free = last.get(name, 1), name
        while free in taken:
            number += 1
            free = f"{name}-{number}"
        taken.add(free)
        last[name] = number
        result.append(free)
    return result
