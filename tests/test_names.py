# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""File names: any text makes one, and no two names mean one file."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from monai_vlsm.names import OverlayNames, distinct, file_key, file_stem, user_path, without_folders

NFC, NFD = (unicodedata.normalize(form, "Läsion é") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        (NFD, "Läsion_é"),
        (NFC, "Läsion_é"),
        ("हिन्दी", "हिन्दी"),  # vowel signs are marks, not letters
        ("a\nb\tc", "a_b_c"),
        ("..", "image"),
        ("🩺", "image"),
        ("nul", "_nul"),  # devices of Windows, whatever follows a dot
        ("COM1.b", "_COM1.b"),
        ("console", "console"),
    ],
)
def test_stem(text: str, stem: str) -> None:
    assert file_stem(text, "image") == unicodedata.normalize("NFC", stem)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("A.png", "a.png", True), (NFC, NFD, True), ("straße", "STRASSE", True), ("a", "b", False), ("ä", "a", False)],
)
def test_names_that_are_one_file_somewhere(one: str, other: str, same: bool) -> None:
    assert (file_key(one) == file_key(other)) is same


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a-2", "a-3"]),
        (["a", "A", "a-2"], ["a", "A-2", "a-2-2"]),
        (["a-2", "a", "a"], ["a-2", "a", "a-3"]),
        ([NFC, NFD], [NFC, f"{NFD}-2"]),
    ],
)
def test_distinct(names: list[str], expected: list[str]) -> None:
    assert distinct(names) == expected
    assert len({file_key(name) for name in distinct(names)}) == len(names)


def test_distinct_by_all_files() -> None:
    """The second name is free, its second file is not."""
    assert distinct(["a", "b"], lambda name, place: [name, "x" if name in "ab" else f"{name} x"]) == ["a", "b-2"]


def test_long_names_with_a_number_behind_them() -> None:
    names = distinct(["x" * 300] * 3, lambda name, place: [file_stem(name)])
    assert len({file_stem(name) for name in names}) == 3


def test_overlay_names() -> None:
    names = OverlayNames()
    asked = [("a b", "p1"), ("a+b", "p1"), ("A b", "p6"), ("c", ""), ("c", "")]
    assert [names.stem(*one) for one in asked] == ["a_b", "a_b_p1", "A_b_p6", "c", "c_1"]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("/home/anna/polyps", "polyps"),
        ("/home/anna/My Data/polyps/", "polyps"),
        ("C:\\\\Users\\\\anna\\\\polyps".replace("\\\\", "\\"), "polyps"),
        ("~/polyps", "polyps"),
        ("--dataset_dir=/home/anna/polyps", "--dataset_dir=polyps"),
        ("['/home/anna/a.json','/b/c.json']", "['a.json','c.json']"),
        ("'['\"'\"'/home/a.json'\"'\"']'", "'['\"'\"'a.json'\"'\"']'"),
        ("data/polyps", "data/polyps"),
        ("left / right lung", "left / right lung"),
        ("CIDAS/clipseg-rd64-refined", "CIDAS/clipseg-rd64-refined"),
        ("https://example.org/x", "https://example.org/x"),
    ],
)
def test_no_folders_are_sent(text: str, sent: str) -> None:
    assert without_folders(text) == sent


def test_home_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/anna")
    assert user_path("~/data") == Path("/home/anna/data")
    assert user_path(Path("a/~")) == Path("a/~")
    assert user_path("~no_such_user/data") == Path("~no_such_user/data")
