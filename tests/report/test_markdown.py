# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re

import pytest

from monai_vlsm.report.blocks import Block, Figures, Hint, Paragraph, Plot
from monai_vlsm.report.pages import render
from monai_vlsm.tables import Cell, Table
from tests.report.test_page import EVERY_BLOCK
from tests.statistics.runs import HOSTILE

CODE = f"`` {HOSTILE} ``"
UNESCAPED = re.compile(r"(?<!\\)[`*_\[\]|$~#@]|<")


def markdown_page(title: str, lead: str, blocks: list[Block], footer: str) -> str:
    return render("page.md", title, lead, blocks, footer)


@pytest.mark.parametrize("block", EVERY_BLOCK, ids=lambda block: type(block).__name__)
def test_everything_is_escaped(block: Block) -> None:
    text = markdown_page(HOSTILE, "l", [block], "f")
    bare = [re.sub(r"^#+ ", "", line) for line in text.replace(CODE, "").splitlines()]
    tables = [line[1:-1].split(" | ") for line in bare if line.startswith("| ") and "---" not in line]
    others = [line for line in bare if not line.startswith("| ")]
    assert [part for part in [*others, *(cell for row in tables for cell in row)] if UNESCAPED.search(part)] == []
    assert len({len(row) for row in tables}) <= 1
    assert isinstance(block, Hint) == (CODE in text)


def test_rows_have_as_many_cells_as_the_header() -> None:
    table = Table(["a|b", "n"], [["x|y", Cell("1|2", ("3|4",))], ["`|`", Cell("0")]])
    lines = markdown_page("t", "l", [table], "f").split("\n\n")[2].splitlines()
    assert [len(re.split(r"(?<!\\)\|", line)) for line in lines] == [4, 4, 4, 4]
    assert lines[1] == "| --- | ---: |"
    assert lines[2] == r"| x\|y | 1\|2 (3\|4) |"


def test_commands_keep_their_signs() -> None:
    text = markdown_page("t", "l", [Hint("Run it:", "python \"['a_b']\""), Hint("Or:", "a `b` c")], "f")
    assert "Run it: `python \"['a_b']\"`" in text
    assert "Or: `` a `b` c ``" in text


def test_plots_are_left_out() -> None:
    page = markdown_page("t", "l", [Paragraph("before"), Figures([Plot(b"<svg/>", "plot")]), Paragraph("after")], "f")
    assert page == "# t\n\nl\n\nbefore\n\nafter\n\nf\n"
