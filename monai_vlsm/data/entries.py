# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The entries of a JSON or CSV list as they stand there, in the codings and dialects in which programs write them."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.io import TableError, table_lines

__all__ = ["COLUMNS", "NEEDS_TABLE", "read_entries", "read_json", "read_labels"]

COLUMNS = ("image", "mask", "prompt")
RECORDS, LABELS = "records", "labels"  # keys of a list that says what its labels are
LABELS_FILE = "labels.json"
"""Beside a list: what its labels are, which goes before what the list itself says."""
NEEDS_TABLE = f'; of label maps name their numbers in {LABELS_FILE} beside the list, {{"1": "NAME"}}'
"""Advice where a list lacks prompts and nothing else."""

_CODINGS = {  # the longer marks first, since one begins as another does
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_SIGN = re.compile(r'\s*"?sep=(.)"?[;,\t]*\s*?(\r\n|\r|\n|$)', re.IGNORECASE)  # for Excel: what is between cells


def read_entries(file: Path, columns: tuple[str, ...] = COLUMNS) -> Iterator[tuple[str, Any]]:
    """Each entry of a list with the place where it stands, such as "record 3" or "line 4".

    A CSV may have commas, semicolons or tabs between its columns; its first line tells, be it the names of the columns
    or ``sep=;``, which spreadsheets take for that. The text is UTF-8, or UTF-16 with its mark ("Unicode text").

    Args:
        file: ``.csv`` in any case of letters, or else JSON.
        columns: that a CSV must have.

    Yields:
        the place and the entry: for CSV a table of column to text, or a list of cells where their number is wrong.

    Raises:
        DatasetProblems: an empty file, another coding, no JSON, or no such columns.
    """
    yield from _csv_entries(file, columns) if file.suffix.lower() == ".csv" else _json_entries(file)


def _text(file: Path) -> str:
    content = file.read_bytes()
    coding = next((name for mark, name in _CODINGS.items() if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(coding)
    except UnicodeDecodeError as error:
        found = f"byte {error.start} in another coding; save it as UTF-8"
        raise DatasetProblems([Problem(str(file), "text in UTF-8", found)]) from error
    if not text.strip():
        raise DatasetProblems([Problem(str(file), "a list of records", "an empty file")])
    return text


def read_json(file: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DatasetProblems: an empty file, another coding, or no JSON.
    """
    try:
        return json.loads(_text(file))
    except json.JSONDecodeError as error:
        found = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise DatasetProblems([Problem(str(file), "valid JSON", found)]) from error
    except RecursionError as error:
        raise DatasetProblems(
            [Problem(str(file), "a JSON list of records", "lists within lists without end")]
        ) from error


def _json_entries(file: Path) -> Iterator[tuple[str, Any]]:
    entries = read_json(file)
    if isinstance(entries, dict) and RECORDS in entries:
        entries = entries[RECORDS]
    if not isinstance(entries, list):
        raise DatasetProblems([Problem(str(file), "a JSON list of records", type(entries).__name__)])
    for number, entry in enumerate(entries, 1):
        yield f"record {number}", entry


def read_labels(file: Path) -> tuple[Any, Path]:
    """The table of labels of a list, and the file that it stands in; None where there is none.

    It is ``labels.json`` beside the list, or what the list has at ``labels``.

    Raises:
        DatasetProblems: one of the files cannot be read.
    """
    beside = file.with_name(LABELS_FILE)
    if beside.is_file():
        content = read_json(beside)
        inner = content.get(LABELS) if isinstance(content, dict) else None
        if isinstance(content, dict):  # else of another program
            return (inner if isinstance(inner, dict) else content), beside
    content = read_json(file) if file.suffix.lower() != ".csv" else None
    return (content.get(LABELS) if isinstance(content, dict) else None), file


def _csv_entries(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    text = _text(file)
    sign = _SIGN.match(text)
    text = text[sign.end() :] if sign else text
    skipped = 1 if sign else 0
    try:
        lines = table_lines(text, by_hand=True)
    except TableError as error:
        raise DatasetProblems([Problem(str(file), "a table", str(error))]) from error
    if not lines or not set(columns) <= set(lines[0][1]):
        where = f"{file}, line {(lines[0][0] if lines else 1) + skipped}"
        expected = f"the columns {', '.join(columns)} with commas, semicolons or tabs"
        found = text.strip().partition("\n")[0].strip() or "nothing"
        found += NEEDS_TABLE if lines and set(columns) - set(lines[0][1]) == {"prompt"} else ""
        raise DatasetProblems([Problem(where, expected, found)])
    (_, header), *others = lines
    for number, cells in others:
        # the bare cells, which no reader of entries takes, if their number is wrong
        entry = dict(zip(header, cells, strict=True)) if len(cells) == len(header) else cells
        yield f"line {number + skipped}", entry
