# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["markdown_table", "text_table"]

Cells = Sequence[object]


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


def markdown_table(header: Cells, rows: Sequence[Cells]) -> str:
    """The same as a Markdown table; a bar within a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _pad(cell: str, width: int, right: bool) -> str:
    return cell.rjust(width) if right else cell.ljust(width)
