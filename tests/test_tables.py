# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CSV files: a spreadsheet runs nothing of them, and what was written is read back."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from monai_vlsm.io import TableError, read_rows, table_lines, table_text, write_rows

RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
TEXTS = [
    *("=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1", "\uff1d1"),
    *("'=1", "''=1", "'", "''", "'polyp'", "'-", "-", "=", "", " polyp ", " =1", 'a "b", c; d', "two\nlines", "Ödem"),
    *("-5", "-0.5", "+3", "-1e-05", ".5", "-1_000", "-٣"),
]


def first_cells(path: Path) -> list[str]:
    """As a spreadsheet sees them, without our reader."""
    with path.open(newline="", encoding="utf-8") as file:
        return [row[0] for row in csv.reader(file)][1:]


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_safe_and_come_back(text: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", ["text", "other"], [{"text": text, "other": "x"}])
    (cell,) = first_cells(tmp_path / "a.csv")
    assert not cell.startswith(RUNS) or float(cell) == float(text)
    assert read_rows(tmp_path / "a.csv") == [{"text": text, "other": "x"}]


@pytest.mark.parametrize("number", [-5, -0.25, 1e-07, -1e-07, float("-inf"), 0])
def test_numbers_stay_numbers(number: float, tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", ["number"], [{"number": number}])
    assert [float(cell) for cell in first_cells(tmp_path / "a.csv")] == [number]
    assert float(read_rows(tmp_path / "a.csv")[0]["number"]) == number


def test_headers_are_safe_too(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", ["=1", "b"], [{"=1": "x", "b": ""}])
    assert (tmp_path / "a.csv").read_text() == "'=1,b\nx,\n"
    assert read_rows(tmp_path / "a.csv") == [{"=1": "x", "b": ""}]


def test_a_name_that_is_no_text() -> None:
    assert table_text(["name"], [{"name": "scan\udcff.png"}]) == "name\r\nscan\\udcff.png\r\n"


def test_another_column_is_refused() -> None:
    with pytest.raises(ValueError, match="'b'"):
        table_text(["a"], [{"a": 1, "b": 2}])


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_lines_that_people_write(sign: str) -> None:
    text = f'image{sign} prompt \r\n\r\na.png{sign} "one{sign}\r\ntwo"\r\n{sign}\r\nb.png{sign}\'=x\u2028y\r\n'
    assert table_lines(text, by_hand=True) == [
        (1, ["image", "prompt"]),
        (4, ["a.png", f"one{sign}\r\ntwo"]),
        (6, ["b.png", "=x\u2028y"]),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1\n", "line 2: expected 2 cells as in the first line, got 1"),
        (b"a\n\xff\n", "cannot read .*a.csv: 'utf-8' codec"),
        (b'a\n"' + b"x" * 200_000, "field larger than field limit .*a quotation mark may be missing"),
    ],
)
def test_faults(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_rows(tmp_path / "a.csv")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    assert read_rows(tmp_path / "a.csv") == []
