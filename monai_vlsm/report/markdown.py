# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A report as Markdown: the tables and texts, without plots and pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from monai_vlsm.report.blocks import (
    Block,
    Cell,
    Details,
    Figure,
    Figures,
    Gallery,
    Heading,
    Hint,
    Paragraph,
    Table,
    photo_table,
)

__all__ = ["escaped", "markdown_page", "table_text"]

SIGNS = re.compile(r"[\\`*_\[\]|~$#@]")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown_page(title: str, lead: str, blocks: Sequence[Block], footer: str) -> str:
    """Write blocks as Markdown; all of their texts are escaped."""
    parts = [f"# {escaped(title)}", escaped(lead), *filter(None, map(_block, blocks)), escaped(footer)]
    return "\n\n".join(parts) + "\n"


def escaped(text: str) -> str:
    """A text that Markdown shows as it is: no markup, no HTML, no table, no mention."""
    entities = "".join(ENTITIES.get(sign, sign) for sign in text)
    return SIGNS.sub(lambda match: f"\\{match.group()}", entities)


def _block(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {escaped(text)}"
        case Paragraph(text):
            return escaped(text)
        case Hint(text, command):
            return f"{escaped(text)} {_code(command)}"
        case Table():
            return table_text(block)
        case Details(title, table):
            return f"{escaped(title)}:\n\n{table_text(table)}"
        case Figure() | Figures():
            return ""
        case Gallery(title, photos):
            return f"{escaped(title)}:\n\n{table_text(photo_table(photos))}"


def _code(command: str) -> str:
    """A text between as many backticks as it takes."""
    fence = "`" * (max((len(run) for run in re.findall("`+", command)), default=0) + 1)
    return f"{fence} {command} {fence}" if len(fence) > 1 else f"`{command}`"


def table_text(table: Table) -> str:
    """A table, its texts escaped."""
    numeric = [isinstance(cell, Cell) for cell in table.rows[0]] if table.rows else [False] * len(table.header)
    rule = ["---:" if right else "---" for right in numeric]
    lines = [[escaped(title) for title in table.header], rule, *([_cell(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(cell: str | Cell) -> str:
    if isinstance(cell, str):
        return escaped(cell)
    return escaped(f"{cell.main} ({', '.join(cell.details)})" if cell.details else cell.main)
