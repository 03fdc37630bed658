# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists in every coding and dialect that programs write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_vlsm.data import DatasetProblems
from monai_vlsm.data.entries import read_entries

ROWS = [("image", "mask", "prompt"), ("é.png", "m.png", "läsion, =klein"), ("b.png", "n.png", "x")]
EXPECTED = [dict(zip(ROWS[0], row, strict=True)) for row in ROWS[1:]]
CODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


def csv(sign: str, end: str = "\r\n") -> str:
    return "".join(sign.join(f'"{cell}"' for cell in row) + end for row in ROWS)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["linux", "windows", "old mac"])
@pytest.mark.parametrize("sign", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
@pytest.mark.parametrize("first", ["", "sep={}", '"sep={}"', "SEP={}"])
def test_csv(first: str, sign: str, end: str, coding: str, tmp_path: Path) -> None:
    path = tmp_path / "train.CSV"
    head = first.format(sign) + end if first else ""
    path.write_bytes((head + csv(sign, end)).encode(coding))
    found = list(read_entries(path))
    assert [entry for _, entry in found] == EXPECTED
    if end != "\r":
        assert [where for where, _ in found] == (["line 3", "line 4"] if first else ["line 2", "line 3"])


@pytest.mark.parametrize("order", ["le", "be"])
def test_either_order_of_bytes(order: str, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(("\ufeff" + csv("\t")).encode(f"utf-16-{order}"))
    assert [entry for _, entry in read_entries(path)] == EXPECTED


@pytest.mark.parametrize("coding", CODINGS)
def test_json(coding: str, tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    path.write_bytes(json.dumps(EXPECTED, ensure_ascii=False).encode(coding))
    assert [entry for _, entry in read_entries(path)] == EXPECTED


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (
            b"sep=|\nimage|mask|prompt\n",
            r"line 2: expected the columns .* with commas, semicolons or tabs, found image\|mask",
        ),
        (b"sep=;\n", "expected the columns image, mask, prompt .*, found nothing"),
        (b"sep=;\nimage;mask\n", "line 2: expected the columns"),
        (csv(";").encode("latin-1"), "expected text in UTF-8, found byte .* in another coding; save it as UTF-8"),
        (csv(";").encode("utf-16-le"), "expected"),
        (b"\xff\xfe\n", "expected text in UTF-8, found byte"),
    ],
)
def test_what_is_not_read_is_told(content: bytes, match: str, tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetProblems, match=match):
        list(read_entries(path))
