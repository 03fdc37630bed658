# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From files on disk to records: ``load_datalist`` for training and evaluation, ``load_images`` for inference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.config import PathLike
from monai.utils import ensure_tuple

from monai_vlsm.counts import counted
from monai_vlsm.data.check import check_records
from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.listing import ImagesNotFoundError, list_images
from monai_vlsm.data.problems import DatasetProblems
from monai_vlsm.data.rows import Row, read_rows
from monai_vlsm.data.sources import find_source
from monai_vlsm.errors import UserError

__all__ = ["ImagesNotFoundError", "NoPromptError", "load_datalist", "load_images"]

Record = dict[str, Any]


class NoPromptError(UserError, ValueError):
    """A prompt is empty or not text."""


def load_datalist(
    dataset_dir: PathLike,
    split: str | int,
    dataset: str | int | None = None,
    multi_prompt: bool = False,
    check: bool = True,
) -> list[Record]:
    """Records of one split, from the official annotation layout or a plain JSON or CSV (see ``docs/data.md``).

    Args:
        dataset_dir: folder with ``anns/{split}.json``, ``images/`` and ``masks/``; or with ``{split}.json`` or
            ``{split}.csv``.
        split: train, val or test.
        dataset: name of a dataset if ``dataset_dir`` holds several.
        multi_prompt: False: one record for each structure of each image. True: one record for each image, with lists
            of K masks and K prompts, K being the same for all.
        check: decode all files first and refuse the list if anything is wrong.

    Returns:
        records ``{"image", "label", "prompt", "tags", "dataset", "name", "image_id", "patient"}`` in the order of the
        list: a path, a path or K paths, a table of styles or K tables, what each style gives away or K tables of that
        (:mod:`monai_vlsm.prompts.tags`), the name of the dataset, a unique name that can be part of a file name
        (records that would have the same name get -2, -3, ... behind it), the name of the image, which all records
        of one image share, and the patient, empty where neither list nor file name tells.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: unknown dataset or split; different numbers of structures with ``multi_prompt``.
        DatasetProblems: (a ValueError) all faults of the list, or all faults of the files.
    """
    source = find_source(dataset_dir, split, dataset)
    rows = read_rows(source)
    records = _together(rows) if multi_prompt else _separate(rows)
    for record in records:
        record["dataset"] = source.dataset
    return _checked(records) if check else records


def load_images(path: PathLike, prompt: str | Sequence[str], check: bool = True) -> list[Record]:
    """Records for inference on one file, or on all images, DICOM and NIfTI files of a folder.

    What a file is, its content says. :func:`monai_vlsm.data.list_images` lists what of a folder is left out, and why.

    Args:
        path: a file or a folder.
        prompt: one text, or a list of K texts for K structures.
        check: decode all files first and refuse them if anything is wrong.

    Returns:
        records ``{"image": path, "prompt": text or list of texts, "name": unique name}``, sorted by file name.

    Raises:
        ImagesNotFoundError: (a FileNotFoundError and ValueError) no such file or folder, or no image in the folder.
        NoPromptError: (a ValueError) a prompt that is empty or not text.
        DatasetProblems: (a ValueError) all faults of the files.
    """
    texts = prompt if isinstance(prompt, str) else list(ensure_tuple(prompt))
    if not texts or not all(isinstance(text, str) and text.strip() for text in ensure_tuple(texts)):
        raise NoPromptError(f"prompt must be a text or a list of texts, got {prompt!r}")
    files = list_images(path).images
    names = _unique([image_stem(file) for file in files])
    records = [
        {"image": str(file), "prompt": texts if isinstance(texts, str) else list(texts), "name": name}
        for file, name in zip(files, names, strict=True)
    ]
    return _checked(records) if check else records


def _checked(records: list[Record]) -> list[Record]:
    problems = check_records(records)
    if problems:
        raise DatasetProblems(problems)
    return records


def _separate(rows: Sequence[Row]) -> list[Record]:
    images = _image_names(rows)
    count = Counter(row.image for row in rows)
    names = [_structure_name(row, images[row.image]) if count[row.image] > 1 else images[row.image] for row in rows]
    return [
        {"image": str(row.image), "label": str(row.mask), "prompt": row.prompt, "tags": row.tags, "name": name}
        | {"image_id": images[row.image], "patient": row.patient or ""}
        for row, name in zip(rows, _unique(names), strict=True)
    ]


def _together(rows: Sequence[Row]) -> list[Record]:
    names = _image_names(rows)
    records: dict[Path, Record] = {}
    for row in rows:
        name = names[row.image]
        who = {"name": name, "image_id": name, "patient": row.patient or ""}
        record = records.setdefault(row.image, {"image": str(row.image), "label": [], "prompt": [], "tags": []} | who)
        record["label"].append(str(row.mask))
        record["prompt"].append(row.prompt)
        record["tags"].append(row.tags)
    numbers = Counter(len(record["label"]) for record in records.values())
    if len(numbers) > 1:
        found = ", ".join(f"{counted(count, 'image')} with {k}" for k, count in sorted(numbers.items()))
        raise ValueError(
            "multi_prompt=True needs the same number of structures in every image, "
            f"found {found}: use multi_prompt=False"
        )
    return list(records.values())


def _image_names(rows: Sequence[Row]) -> Mapping[Path, str]:
    images = list(dict.fromkeys(row.image for row in rows))
    return dict(zip(images, _unique([image_stem(image) for image in images]), strict=True))


def _structure_name(row: Row, image: str) -> str:
    """The image and the structure's own name; without one, the mask's, which mostly begins with the image's."""
    structure = (row.structure or image_stem(row.mask)).replace(" ", "_").replace("/", "_")
    return structure if structure.startswith(image) else f"{image}_{structure}"


def _unique(names: Sequence[str]) -> list[str]:
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
