# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables for a paper."""

from __future__ import annotations

from collections.abc import Sequence

from monai_vlsm.tables import Cell, Table

__all__ = ["latex_table"]

_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\N{MINUS SIGN}": "$-$",
    "±": r"$\pm$",
    "\N{EN DASH}": "--",
    "\N{NO-BREAK SPACE}": "~",
    "\N{DAGGER}": r"$\dagger$",
    "\N{DOUBLE DAGGER}": r"$\ddagger$",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    # behind the end of a row LaTeX takes them for an option of it
    "[": "{[}",
    "*": "{*}",
    '"': "''",
}


def latex_table(title: str, table: Table) -> str:
    """A table with the rules of booktabs; intervals and the paper's values stand in the CSV, not here."""
    columns = "".join("r" if numeric else "l" for numeric in table.numeric)
    lines = [_row(table.header), "\\midrule", *(_row(row) for row in table.rows)]
    head = ["\\begin{table}", f"\\caption{{{_escaped(title)}}}", f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
    return "\n".join([*head, *lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def _row(cells: Sequence[str | Cell]) -> str:
    texts = [cell.main if isinstance(cell, Cell) else str(cell) for cell in cells]
    return " & ".join(map(_escaped, texts)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_SIGNS.get(sign, sign) for sign in text)
