# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables for the terminal, for Markdown and for pages."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["Cell", "Table", "escaped", "markdown_table", "text_table"]

Cells = Sequence[object]
_SIGNS = re.compile(r"[\\`*_\[\]|~$#@]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


@dataclass(frozen=True)
class Cell:
    """A number in a table, with an interval or remarks, and on a page perhaps a link to what it comes from."""

    main: str
    details: tuple[str, ...] = ()
    anchor: str = ""

    def __str__(self) -> str:
        return f"{self.main} ({', '.join(self.details)})" if self.details else self.main


@dataclass(frozen=True)
class Table:
    """Rows of texts and numbers; all texts are plain, nothing in them is markup."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, by the first row."""
        return [isinstance(cell, Cell) for cell in self.rows[0]] if self.rows else [False] * len(self.header)

    @property
    def markdown(self) -> str:
        """The table as Markdown, its texts escaped, its numbers to the right."""
        rows = [[_linked(cell) for cell in row] for row in self.rows]
        return markdown_table([escaped(title) for title in self.header], rows, str, self.numeric)


def _linked(cell: str | Cell) -> str:
    text = escaped(str(cell))
    return f"[{text}](#{cell.anchor})" if isinstance(cell, Cell) and cell.anchor else text


def text_table(header: Cells, rows: Sequence[Cells]) -> str:
    """Columns aligned with spaces, numbers to the right; no space at the end of a line.

    Args:
        header: one title a column.
        rows: as many cells as the header has.
    """
    table = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    right = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(header))]
    return "\n".join("  ".join(map(_pad, row, widths, right)).rstrip() for row in table)


def _pad(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)


def _without_bars(text: str) -> str:
    return text.replace("|", "\\|")


def markdown_table(
    header: Cells,
    rows: Sequence[Cells],
    escape: Callable[[str], str] = _without_bars,
    right: Sequence[bool] = (),
    aligned: bool = False,
) -> str:
    """A table as Markdown.

    Args:
        header: one title a column.
        rows: as many cells as the header has.
        escape: applied to each cell; by default Markdown stays what it is, apart from bars.
        right: which columns stand to the right.
        aligned: fill cells with spaces, for reading as plain text too.
    """
    rule = ["---:" if to_right else "---" for to_right in right or [False] * len(header)]
    lines = [[escape(str(cell)) for cell in line] for line in (header, *rows)]
    table = [lines[0], rule, *lines[1:]]
    if aligned:
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        table = [list(map(str.ljust, line, widths, ("-" if line is rule else " ") * len(line))) for line in table]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def escaped(text: str) -> str:
    """A text that Markdown shows as it is: no markup, no HTML, no table, no mention."""
    entities = "".join(_ENTITIES.get(sign, sign) for sign in text)
    return _SIGNS.sub(lambda match: f"\\{match.group()}", entities)
