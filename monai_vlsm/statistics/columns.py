# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CSV files as numpy columns, and the groups of rows that a report has numbers for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from monai_vlsm.counts import counted
from monai_vlsm.errors import UserError
from monai_vlsm.io import TableError, table_lines

__all__ = [
    "ALL",
    "Columns",
    "Group",
    "Grouped",
    "ReportError",
    "by_group",
    "clean",
    "groups",
    "natural",
    "read_columns",
    "require_ranges",
    "select",
]

Value = TypeVar("Value")
ALL = "(all)"
_ROUNDED = 1e-6  # files hold six digits
Columns = dict[str, np.ndarray]
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # what no page may hold


class ReportError(UserError, ValueError):
    """A folder or file that no report can be made of."""


@dataclass(frozen=True)
class Grouped:
    """What belongs to one dataset and style; either may be `ALL`."""

    dataset: str
    style: str


@dataclass(frozen=True)
class Group(Grouped):
    """The rows of a dataset and style, as a mask."""

    rows: np.ndarray


def clean(text: object) -> str:
    """A text in one line, without the characters that HTML, XML and Markdown cannot hold."""
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", re.sub(r"[\t\n\r]", " ", str(text)))


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts p2 before p10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def read_columns(path: Path, texts: Sequence[str], numbers: Sequence[str], optional: Sequence[str] = ()) -> Columns:
    """Read a CSV; comma, semicolon or tab, with or without a byte order mark.

    Args:
        path: the file.
        texts: columns of text.
        numbers: columns of numbers; ``nan`` and ``inf`` are numbers.
        optional: columns of either kind that may be missing.

    Returns:
        name to an array with one entry a row: float64, or objects of `str`. Only the named columns.

    Raises:
        ReportError: no text in UTF-8, missing columns, no rows, or a cell that is no number.
    """
    header, rows = _cells(path)
    wanted = [name for name in (*texts, *numbers) if name in header or name not in optional]
    missing = [name for name in wanted if name not in header]
    if missing:
        raise ReportError(
            f"{path} lacks the columns {', '.join(missing)}; it has {', '.join(map(clean, header)) or 'none'}. "
            "It was written by another version or program: run the evaluation again"
        )
    if not rows:
        raise ReportError(f"{path} has no rows: nothing was evaluated. Run the evaluation on a list with records")
    columns = list(zip(*rows, strict=True))
    cells = {name: columns[header.index(name)] for name in wanted}
    return {name: _numbers(path, name, cells[name]) if name in numbers else _texts(cells[name]) for name in wanted}


def _cells(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        header, *rows = [row for _, row in table_lines(path.read_bytes().decode("utf-8-sig"))] or [[]]
    except (OSError, UnicodeDecodeError, TableError) as error:
        raise ReportError(f"cannot read {path}: {error}") from error
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ReportError(
                f"{path}, row {number}: expected {counted(len(header), 'cell')} as in the first row, got {len(row)}"
            )
    return header, rows


def _texts(cells: Sequence[str]) -> np.ndarray:
    return np.array([clean(cell) for cell in cells], dtype=object)


def _numbers(path: Path, name: str, cells: Sequence[str]) -> np.ndarray:
    try:
        return np.array([cell or "nan" for cell in cells], dtype=np.float64)
    except ValueError:
        row, cell = next((i, cell) for i, cell in enumerate(cells, 2) if not _is_number(cell))
        raise ReportError(f"{path}, row {row}: expected a number in {name}, got {clean(cell)!r}") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def require_ranges(path: Path, columns: Columns, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Check that numbers are such as they can be; NaN, which stands for no value, is left alone.

    Args:
        path: of the file, for the message.
        columns: as from `read_columns`.
        ranges: lowest and highest value of columns, both included; columns that are not there are left out.

    Raises:
        ReportError: the message names the first row.
    """
    for name, (low, high) in ranges.items():
        values = columns.get(name, np.zeros(0))
        wrong = ((values < low - _ROUNDED) | (values > high + _ROUNDED)).nonzero()[0]
        if wrong.size:
            span = f"from {low:g} to {high:g}" if np.isfinite(high) else f"of at least {low:g}"
            raise ReportError(
                f"{path}, row {wrong[0] + 2}: expected {name} {span}, got {values[wrong[0]]:g}. "
                "No evaluation writes that: run it again"
            )


def select(columns: Columns, rows: np.ndarray) -> Columns:
    """The same columns with some rows, by a mask or by indices."""
    return {name: values[rows] for name, values in columns.items()}


def by_group(columns: Columns, measure: Callable[[Group, Columns], Value]) -> list[Value]:
    """Apply a function to each of the `groups` and to its rows."""
    return [measure(group, select(columns, group.rows)) for group in groups(columns)]


def groups(columns: Columns) -> Iterator[Group]:
    """Groups of rows: each dataset and style, each dataset if it has several styles, all if there are several datasets.

    Args:
        columns: with ``dataset`` and ``style``; rows of one tag, since what is grouped here may share a mean.
    """
    datasets = sorted(set(columns["dataset"]), key=natural)
    for dataset in datasets:
        of_dataset = columns["dataset"] == dataset
        styles = sorted(set(columns["style"][of_dataset]), key=natural)
        for style in styles:
            yield Group(dataset, style, of_dataset & (columns["style"] == style))
        if len(styles) > 1:
            yield Group(dataset, ALL, of_dataset)
    if len(datasets) > 1:
        yield Group(ALL, ALL, np.ones(len(columns["dataset"]), dtype=bool))
