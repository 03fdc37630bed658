# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Read the JSON and CSV lists: one row for each structure of each image, all faults reported together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from monai_vlsm.data.catalogue import dataset_card, known_datasets
from monai_vlsm.data.entries import COLUMNS, NEEDS_TABLE, read_entries, read_labels
from monai_vlsm.data.lists.classes import LabelClass, LabelTableError, read_classes
from monai_vlsm.data.paths import PathNotFoundError, find_file
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.sources import Source
from monai_vlsm.names import folder_name
from monai_vlsm.prompts import TAGS, official_tags, plain_tags

__all__ = ["Row", "find_rows", "prompt_table", "read_rows"]

STYLES = tuple(f"p{i}" for i in range(10))
PromptTable = dict[str, str | list[str]]
Box = tuple[float, float, float, float]
Fault = tuple[str, str]  # what was expected, what was found


@dataclass(frozen=True)
class Row:
    """One structure of one image.

    Args:
        image: path of the image.
        mask: path of its mask.
        prompt: style to text or texts.
        tags: style to what its prompts give away (:mod:`monai_vlsm.prompts.tags`).
        structure: name of the structure, if the list gives one.
        box: left, top, right and bottom of the structure in pixels, the last two just outside, if the list gives it.
        patient: who is in the image, if the list or the name of the file tells.
        name: of the image; that of its file where it is empty.
        case: name of the volume that the image is a slice of; empty for 2D files.
        modality: such as CT, where the list says it.
        absent: classes that are truly not in the image.
        classes: of a label map, which `monai_vlsm.data.lists.own.mapped_rows` makes a row for each class of; then the
            mask is the whole map.
    """

    image: Path
    mask: Path
    prompt: PromptTable
    tags: dict[str, str]
    structure: str | None = None
    box: Box | None = None
    patient: str | None = None
    name: str = ""
    case: str = ""
    modality: str = ""
    absent: tuple[LabelClass, ...] = ()
    classes: tuple[LabelClass, ...] = ()


class _EntryError(ValueError):
    """What was expected and what was found in one entry of a list, once or several times."""

    def __init__(self, expected: str | Sequence[Fault], found: str = "") -> None:
        super().__init__(expected, found)
        self.faults = [(expected, found)] if isinstance(expected, str) else list(expected)


def read_rows(source: Source) -> list[Row]:
    """Read a list; ``p0: ""`` and every other text come through as they are.

    Paths may be written as another system does (:func:`find_file`). Those with ``..`` are refused, and absolute
    ones in official lists: their files lie in ``images/`` and ``masks/``. On codings and CSV see :func:`read_entries`.

    Raises:
        DatasetProblems: all faults of the list, as in :func:`find_rows`.
    """
    rows, problems = find_rows(source)
    if problems:
        raise DatasetProblems(problems)
    return rows


def find_rows(source: Source) -> tuple[list[Row], list[Problem]]:
    """The rows of the entries that are sound, and everything that is wrong with the others.

    Returns:
        the rows, and the problems: the file is empty, no text or no JSON, or entries lack something; each fault of each
        entry with its number, those that all entries have once.
    """
    rows: list[Row] = []
    faults: dict[str, list[Fault]] = {}
    count = 0
    try:
        classes = () if source.official else _list_classes(source.file)
        for where, entry in read_entries(source.file, COLUMNS[:2] if classes else COLUMNS):
            count += 1
            try:
                rows += _official(entry, source.file) if source.official else _plain(entry, source.file, classes)
            except _EntryError as error:
                faults[f"{where}{_called(entry)}"] = error.faults
    except DatasetProblems as error:
        return rows, list(error.problems)
    except LabelTableError as error:
        return rows, [Problem(str(source.file), "labels that say what they mean", str(error))]
    if not count:
        return rows, [Problem(str(source.file), "at least one record", "an empty list")]
    return rows, _listed(faults, count, source.file)


def _list_classes(file: Path) -> tuple[LabelClass, ...]:
    """The classes of the label maps of a list; none where it has no table of labels."""
    table, where = read_labels(file)
    return read_classes(table, str(where))[0] if table is not None else ()


def _listed(faults: Mapping[str, list[Fault]], count: int, file: Path) -> list[Problem]:
    """One problem for each fault; if all entries have the same, the list has another layout, not that many mistakes."""
    alike = len(faults) == count > 1 and len({tuple(found) for found in faults.values()}) == 1
    if alike:
        faults = {f"all {count} records": next(iter(faults.values()))}
    return [Problem(f"{file}, {where}", *fault) for where, found in faults.items() for fault in found]


def _all_of(*steps: Callable[[], Any]) -> list[Any]:
    """What all steps return, or the faults of all of them as one error."""
    results: list[Any] = []
    faults: list[Fault] = []
    for step in steps:
        try:
            results.append(step())
        except _EntryError as error:
            faults += error.faults
    if faults:
        raise _EntryError(list(dict.fromkeys(faults)))
    return results


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
    image, mask, table = _all_of(
        lambda: _path(entry, "img_name", root, "images"),
        lambda: _path(entry, "mask_name", root, "masks"),
        lambda: prompt_table(_table(entry["prompts"])),
    )
    dataset = folder_name(root)
    patient = dataset_card(dataset).patient(entry["img_name"]) if dataset in known_datasets() else None
    return [Row(image, mask, table, official_tags(dataset, table), box=_box(entry.get("bbox")), patient=patient)]


def _table(prompts: Any) -> Any:
    if not isinstance(prompts, Mapping):
        raise _EntryError("prompts to be a table of styles", type(prompts).__name__)
    return prompts


def _box(value: Any) -> Box | None:
    numbers = value if isinstance(value, list) and len(value) == 4 else []
    return tuple(numbers) if numbers and all(isinstance(n, int | float) for n in numbers) else None  # type: ignore[return-value]


def _plain(entry: Any, file: Path, classes: tuple[LabelClass, ...]) -> list[Row]:
    own = _own_classes(entry, file, classes)
    if not isinstance(entry, Mapping) or "structures" not in entry:
        _require(entry, COLUMNS[:2] if own else COLUMNS)
        return [_plain_row(entry, entry, file.parent, own)]
    _require(entry, ("image",))
    structures = entry["structures"]
    if not isinstance(structures, list) or not structures:
        raise _EntryError("structures to be a list of {mask, prompt} with at least one", repr(structures)[:60])
    return _all_of(*(partial(_structure_row, entry, structure, file, own) for structure in structures))


def _own_classes(entry: Any, file: Path, classes: tuple[LabelClass, ...]) -> tuple[LabelClass, ...]:
    """The classes of one label map, by a table of its own or by that of the list."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("labels"), Mapping):
        return classes
    try:
        return read_classes(entry["labels"], file.name)[0]
    except LabelTableError as error:
        raise _EntryError("labels that say what they mean", str(error)) from error


def _structure_row(entry: Mapping[str, Any], structure: Any, file: Path, classes: tuple[LabelClass, ...]) -> Row:
    own = _own_classes(structure, file, classes)
    _require(structure, ("mask",) if own else ("mask", "prompt"))
    return _plain_row(entry, structure, file.parent, own)


def _plain_row(
    entry: Mapping[str, Any], structure: Mapping[str, Any], folder: Path, classes: tuple[LabelClass, ...]
) -> Row:
    """A mask with a prompt, or a label map with classes; a prompt goes before the table of the whole list."""
    own = () if structure.get("prompt") not in (None, "") else classes
    image, mask, (table, tags), name = _all_of(
        lambda: _path(entry, "image", folder),
        lambda: _path(structure, "mask", folder),
        lambda: ({}, {}) if own else _prompts(entry, structure),
        lambda: _name(structure.get("name") if structure is not entry else None),
    )
    patient = str(entry["patient"]).strip() if entry.get("patient") is not None else ""
    return Row(image, mask, table, tags, name, patient=patient or None, classes=own)


def _prompts(entry: Mapping[str, Any], structure: Mapping[str, Any]) -> tuple[PromptTable, dict[str, str]]:
    table = prompt_table(structure["prompt"])
    return table, _tags(table, structure.get("tags") or entry.get("tags"))


def _name(name: Any) -> str | None:
    if name is not None and not isinstance(name, str):
        raise _EntryError("name of a structure to be text", repr(name))
    return name


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
        found = f"no {', '.join(missing)} among {', '.join(map(str, entry))}"
        raise _EntryError(f"the keys {', '.join(keys)}", found + (NEEDS_TABLE if missing == ["prompt"] else ""))


def _path(entry: Mapping[str, Any], key: str, folder: Path, below: str = "") -> Path:
    """The file that an entry names, in ``folder`` or in a folder ``below`` it."""
    text = entry[key]
    if not isinstance(text, str) or not text.strip():
        raise _EntryError(f"{key} to be a path", repr(text))
    if ".." in text.replace("\\", "/").split("/"):
        raise _EntryError(f"{key} to be a path without '..' (write the whole path instead)", repr(text))
    if below and PurePosixPath(text.replace("\\", "/")).is_absolute():
        raise _EntryError(f"{key} to be a name below {below}/", repr(text))
    try:
        return find_file(folder, f"{below}/{text}" if below else text)
    except PathNotFoundError as error:
        raise _EntryError(f"{key} to be a file", f"{text!r}: {error}") from error


def _called(entry: Any) -> str:
    """The image of a faulty entry, to find it in a list that is edited by hand."""
    name = entry.get("image", entry.get("img_name")) if isinstance(entry, Mapping) else None
    return f" ({name})" if name else ""
