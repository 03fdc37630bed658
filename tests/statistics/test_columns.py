# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_vlsm.statistics.columns import ALL, Group, ReportError, clean, groups, natural, read_columns, select

GOOD = "name,prompt,dice\nx,one,0.5\ny,two,inf\n"


def save(folder: Path, text: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace("\n", "\r\n"),
    ],
    ids=["plain", "byte order mark", "semicolons", "tabs", "windows"],
)
def test_dialects(text: str | bytes, tmp_path: Path) -> None:
    columns = read_columns(save(tmp_path, text), ("name", "prompt"), ("dice",))
    assert list(columns["prompt"]) == ["one", "two"]
    assert columns["dice"].tolist() == [0.5, np.inf]


def test_cells_with_signs_lines_and_separators_of_unicode(tmp_path: Path) -> None:
    text = 'name,dice\n"a,""b""\nc",1\nx\u2028y\x85z,\n\n'
    columns = read_columns(save(tmp_path, text), ("name",), ("dice",))
    assert list(columns["name"]) == ['a,"b" c', "x\u2028y\N{REPLACEMENT CHARACTER}z"]
    assert np.isnan(columns["dice"][1])


def test_optional_and_unknown_columns(tmp_path: Path) -> None:
    columns = read_columns(save(tmp_path, GOOD), ("name", "patient"), ("dice", "existence"), ("patient", "existence"))
    assert sorted(columns) == ["dice", "name"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,dice\nx,1\n", "lacks the columns prompt; it has name, dice. It was written by another version"),
        ("", "lacks the columns name, prompt, dice; it has none"),
        ("name,prompt,dice\n", "has no rows: nothing was evaluated"),
        ("name,prompt,dice\nx,one,good\n", "row 2: expected a number in dice, got 'good'"),
        ("name,prompt,dice\nx,one,1\ny,two\n", "row 3: expected 3 cells as in the first row, got 2"),
        (b"name,prompt,dice\n\xff,one,1\n", "cannot read .*table.csv: 'utf-8' codec"),
    ],
)
def test_faults(text: str | bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=message):
        read_columns(save(tmp_path, text), ("name", "prompt"), ("dice",))


def test_clean() -> None:
    assert clean("a\nb\tc\rd") == "a b c d"
    assert clean("a\x00b\x1bc") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert clean("é 数  <b>") == "é 数  <b>"
    assert clean(3) == "3"


def test_natural_order() -> None:
    assert sorted(["p10", "p2", "", "a", "p1"], key=natural) == ["", "a", "p1", "p2", "p10"]


def test_groups() -> None:
    columns = {
        "dataset": np.array(["b", "a", "a", "a"], dtype=object),
        "style": np.array(["p1", "p10", "p2", "p2"], dtype=object),
    }
    found = [(group.dataset, group.style, group.rows.nonzero()[0].tolist()) for group in groups(columns)]
    assert found == [
        ("a", "p2", [2, 3]),
        ("a", "p10", [1]),
        ("a", ALL, [1, 2, 3]),
        ("b", "p1", [0]),
        (ALL, ALL, [0, 1, 2, 3]),
    ]
    one = select(columns, np.array([0]))
    assert [isinstance(group, Group) for group in groups(one)] == [True]
