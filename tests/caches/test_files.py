# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A file of a cache is what was written, or as good as not there."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from monai_vlsm.caches.files import CheckedFiles

CONTENT = bytes(range(200))


@pytest.fixture
def files(tmp_path: Path) -> CheckedFiles:
    files = CheckedFiles(tmp_path / "new" / "cache", ".kept")
    files.write("a", CONTENT)
    return files


def test_comes_back(files: CheckedFiles) -> None:
    assert files.read("a") == CONTENT
    assert files.read("b") is None
    files.write("a", b"")
    assert files.read("a") == b""
    assert [path.name for path in files.folder.iterdir()] == ["a.kept"]


def test_every_length_is_noticed(files: CheckedFiles, caplog: pytest.LogCaptureFixture) -> None:
    whole = files.path("a").read_bytes()
    for length in range(len(whole)):
        files.path("a").write_bytes(whole[:length])
        assert files.read("a") is None
    files.path("a").write_bytes(whole + b"x")
    assert files.read("a") is None
    assert "a.kept is damaged and is made anew" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_every_flipped_bit_is_noticed(files: CheckedFiles) -> None:
    whole = files.path("a").read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        files.path("a").write_bytes(flipped)
        assert files.read("a") is None


def test_the_file_of_another_key_is_noticed(files: CheckedFiles) -> None:
    files.path("a").rename(files.path("b"))
    assert files.read("b") is None


def test_a_folder_in_its_place(files: CheckedFiles) -> None:
    files.path("b").mkdir()
    assert files.read("b") is None


def test_own_files(files: CheckedFiles) -> None:
    for name in (".a.kept.123.part", "notes.txt", "mine.part"):
        (files.folder / name).touch()
    assert [path.name for path in files.own_files()] == [".a.kept.123.part", "a.kept"]
    assert list(CheckedFiles(files.folder / "absent", ".kept").own_files()) == []
