# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Metadata, and which image goes into which list."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monai_vlsm.prompts import RecipeError, assign_splits, read_metadata

SHARES = {"train": 0.8, "val": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (100, (80, 10, 10)),
        (15, (12, 2, 1)),
        (8, (6, 1, 1)),
        (4, (2, 1, 1)),
        (3, (1, 1, 1)),
        (2, (1, 1, 0)),
        (1, (1, 0, 0)),
        (0, (0, 0, 0)),
    ],
)
def test_shares(count: int, expected: tuple[int, ...]) -> None:
    found = Counter(assign_splits([f"patient {index}" for index in range(count)], SHARES).values())
    assert tuple(found[name] for name in SHARES) == expected


def test_a_group_is_in_one_list_whatever_the_order() -> None:
    groups = [f"p{index % 20}" for index in range(60)]
    first = assign_splits(groups, SHARES)
    assert len(first) == 20
    assert first == assign_splits(groups[::-1], SHARES)
    assert sorted(group for group, split in first.items() if split == "test") == ["p1", "p18"]


def test_not_in_order_of_names() -> None:
    lists = assign_splits([f"{index:03}" for index in range(100)], SHARES)
    tested = [int(group) for group, split in lists.items() if split == "test"]
    assert min(tested) < 30
    assert max(tested) > 70


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_metadata(tmp_path: Path, sign: str) -> None:
    rows = [
        ["image", "age", "doctor", "patient"],
        ["a b.png", " 73 ", "x", "7"],
        ["c", "", "", "8"],
        ["", "1", "2", "3"],
    ]
    path = tmp_path / "facts.csv"
    path.write_text("\ufeff" + "\n".join(sign.join(row) for row in rows), encoding="utf-8")
    assert read_metadata(path) == {"a b.png": {"patient": "7", "age": "73"}, "c": {"patient": "8", "age": ""}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"name,age\na,1", "expected the columns image and at least one of patient, kind, view.*found name, age"),
        (b"image,doctor\na,1", "at least one of patient, kind.*found image, doctor"),
        (b"", "found an empty file"),
        ("image,age\nä,1".encode("latin-1"), "expected text in UTF-8, found byte 10 in another coding"),
    ],
)
def test_wrong_metadata(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "facts.csv"
    path.write_bytes(text)
    with pytest.raises(RecipeError, match=message):
        read_metadata(path)


def test_no_metadata_file(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no such metadata file: .*facts\.csv"):
        read_metadata(tmp_path / "facts.csv")


def test_short_rows(tmp_path: Path) -> None:
    path = tmp_path / "facts.csv"
    path.write_text("image,age,view\na.png,73\n", encoding="utf-8")
    assert read_metadata(path) == {"a.png": {"age": "73", "view": ""}}
