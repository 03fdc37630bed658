# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Read the JSON and CSV lists: one row for each structure of each image, all faults reported together."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from monai_vlsm.data.catalogue import dataset_card, known_datasets
from monai_vlsm.data.paths import PathNotFoundError, find_file
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.sources import Source
from monai_vlsm.io import TableError, table_lines
from monai_vlsm.prompts import TAGS, official_tags, plain_tags

__all__ = ["Row", "prompt_table", "read_rows"]

STYLES = tuple(f"p{i}" for i in range(10))
COLUMNS = ("image", "mask", "prompt")
PromptTable = dict[str, str | list[str]]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Row:
    """One structure of one image.

    Args:
        image: path of the picture.
        mask: path of its mask.
        prompt: style to text or texts.
        tags: style to what its prompts give away (:mod:`monai_vlsm.prompts.tags`).
        structure: name of the structure, if the list gives one.
        box: left, top, right and bottom of the structure in pixels, the last two just outside, if the list gives it.
        patient: who is in the picture, if the list or the name of the file tells.
    """

    image: Path
    mask: Path
    prompt: PromptTable
    tags: dict[str, str]
    structure: str | None = None
    box: Box | None = None
    patient: str | None = None


class _EntryError(ValueError):
    """What was expected and what was found in one entry of a list."""

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(expected, found)
        self.expected, self.found = expected, found


def read_rows(source: Source) -> list[Row]:
    """Read a list; ``p0: ""`` and every other text come through as they are.

    Paths may be written as another system does (:func:`find_file`). Those with ``..`` are refused, and absolute
    ones in official lists: their files lie in ``images/`` and ``masks/``. A CSV may have commas, semicolons or tabs
    between its columns, and a byte order mark; its first line tells.

    Raises:
        DatasetProblems: the file is empty, no UTF-8 or no JSON, or entries lack something; one line for each entry,
            with its number.
    """
    entries = list(_csv_entries(source.file) if source.file.suffix == ".csv" else _json_entries(source.file))
    rows: list[Row] = []
    problems: list[Problem] = []
    for where, entry in entries:
        try:
            rows += _official(entry, source.file) if source.official else _plain(entry, source.file)
        except _EntryError as fault:
            problems.append(Problem(f"{source.file}, {where}{_called(entry)}", fault.expected, fault.found))
    if len(problems) > 1 and len(problems) == len(entries) and len({(p.expected, p.found) for p in problems}) == 1:
        where = f"{source.file}, all {len(entries)} records"  # the list has another layout, not that many mistakes
        problems = [Problem(where, problems[0].expected, problems[0].found)]
    if problems:
        raise DatasetProblems(problems)
    if not rows:
        raise DatasetProblems([Problem(str(source.file), "at least one record", "an empty list")])
    return rows


def prompt_table(prompt: Any) -> PromptTable:
    """Bring a prompt of any accepted form to a table: text and lists of alternatives become style ``p1``.

    Args:
        prompt: a text, a list of alternative texts, or a table of styles p0 to p9 to either.

    Raises:
        ValueError: anything else, an unknown style, or an empty text in a style other than p0.
    """
    table = prompt if isinstance(prompt, Mapping) else {"p1": prompt}
    unknown = sorted(str(style) for style in table if style not in STYLES)
    if unknown or not table:
        raise _EntryError(f"prompt styles {STYLES[0]} to {STYLES[-1]}", ", ".join(unknown) or "an empty table")
    return {style: _texts(style, value) for style, value in table.items()}


def _texts(style: str, value: Any) -> str | list[str]:
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise _EntryError(f"prompt {style} to be a text or a list of texts", "an empty list")
    for text in texts:
        if not isinstance(text, str):
            raise _EntryError(f"prompt {style} to be text", f"{text!r} ({type(text).__name__})")
        if not text.strip() and style != "p0":
            raise _EntryError(f"prompt {style} to have words (only p0 may be empty)", repr(text))
    return value


def _official(entry: Any, file: Path) -> list[Row]:
    root = file.parent.parent
    _require(entry, ("img_name", "mask_name", "prompts"))
    if not isinstance(entry["prompts"], Mapping):
        raise _EntryError("prompts to be a table of styles", type(entry["prompts"]).__name__)
    image = _path(entry, "img_name", root / "images", below=True)
    mask = _path(entry, "mask_name", root / "masks", below=True)
    table = prompt_table(entry["prompts"])
    dataset = root.resolve().name
    patient = dataset_card(dataset).patient(entry["img_name"]) if dataset in known_datasets() else None
    return [Row(image, mask, table, official_tags(dataset, table), box=_box(entry.get("bbox")), patient=patient)]


def _box(value: Any) -> Box | None:
    numbers = value if isinstance(value, list) and len(value) == 4 else []
    return tuple(numbers) if numbers and all(isinstance(n, int | float) for n in numbers) else None  # type: ignore[return-value]


def _plain(entry: Any, file: Path) -> list[Row]:
    if not isinstance(entry, Mapping) or "structures" not in entry:
        _require(entry, COLUMNS)
        return [_plain_row(entry, entry, file.parent)]
    _require(entry, ("image",))
    structures = entry["structures"]
    if not isinstance(structures, list) or not structures:
        raise _EntryError("structures to be a list of {mask, prompt} with at least one", repr(structures)[:60])
    for structure in structures:
        _require(structure, ("mask", "prompt"))
    return [_plain_row(entry, structure, file.parent) for structure in structures]


def _plain_row(entry: Mapping[str, Any], structure: Mapping[str, Any], folder: Path) -> Row:
    name = structure.get("name") if structure is not entry else None
    if name is not None and not isinstance(name, str):
        raise _EntryError("name of a structure to be text", repr(name))
    image, mask = _path(entry, "image", folder), _path(structure, "mask", folder)
    patient = str(entry["patient"]).strip() if entry.get("patient") is not None else ""
    table = prompt_table(structure["prompt"])
    tags = _tags(table, structure.get("tags") or entry.get("tags"))
    return Row(image, mask, table, tags, name, patient=patient or None)


def _tags(table: PromptTable, stated: Any) -> dict[str, str]:
    try:
        return plain_tags(table, stated)
    except ValueError as error:
        raise _EntryError(f"tags of the styles {', '.join(table)}, each {', '.join(TAGS)}", str(error)) from error


def _require(entry: Any, keys: tuple[str, ...]) -> None:
    if not isinstance(entry, Mapping):
        raise _EntryError(f"a table with {', '.join(keys)}", f"{type(entry).__name__} {repr(entry)[:60]}")
    missing = [key for key in keys if key not in entry]
    if missing:
        raise _EntryError(f"the keys {', '.join(keys)}", f"no {', '.join(missing)} among {', '.join(map(str, entry))}")


def _path(entry: Mapping[str, Any], key: str, folder: Path, below: bool = False) -> Path:
    if not isinstance(entry[key], str) or not entry[key].strip():
        raise _EntryError(f"{key} to be a path", repr(entry[key]))
    if ".." in entry[key].replace("\\", "/").split("/"):
        raise _EntryError(f"{key} to be a path without '..' (write the whole path instead)", repr(entry[key]))
    if below and PurePosixPath(entry[key]).is_absolute():
        raise _EntryError(f"{key} to be a name below {folder.name}/", repr(entry[key]))
    try:
        return find_file(folder, entry[key])
    except PathNotFoundError as error:
        raise _EntryError(f"{key} to be a file", f"{entry[key]!r}: {error}") from error


def _called(entry: Any) -> str:
    """The image of a faulty entry, to find it in a list that is edited by hand."""
    name = entry.get("image", entry.get("img_name")) if isinstance(entry, Mapping) else None
    return f" ({name})" if name else ""


def _text(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig")  # spreadsheets put a byte order mark first
    except UnicodeDecodeError as error:
        raise DatasetProblems([Problem(str(file), "text in UTF-8", f"byte {error.start} in another coding")]) from error
    if not text.strip():
        raise DatasetProblems([Problem(str(file), "a list of records", "an empty file")])
    return text


def _json_entries(file: Path) -> Iterator[tuple[str, Any]]:
    try:
        entries = json.loads(_text(file))
    except json.JSONDecodeError as error:
        found = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise DatasetProblems([Problem(str(file), "valid JSON", found)]) from error
    if not isinstance(entries, list):
        raise DatasetProblems([Problem(str(file), "a JSON list of records", type(entries).__name__)])
    for number, entry in enumerate(entries, 1):
        yield f"record {number}", entry


def _csv_entries(file: Path) -> Iterator[tuple[str, Any]]:
    text = _text(file)
    try:
        (number, header), *lines = table_lines(text, by_hand=True)
    except TableError as error:
        raise DatasetProblems([Problem(str(file), "a table", str(error))]) from error
    if not set(COLUMNS) <= set(header):
        expected = f"the columns {', '.join(COLUMNS)} with commas, semicolons or tabs"
        raise DatasetProblems([Problem(f"{file}, line {number}", expected, text.strip().partition("\n")[0].strip())])
    for number, cells in lines:
        # the bare cells, which no reader of entries takes, if their number is wrong
        yield f"line {number}", dict(zip(header, cells, strict=True)) if len(cells) == len(header) else cells
