# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A file of a cache is what was written, or as good as not there."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from monai_vlsm.checked_files import Blocks, CheckedFiles

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


BLOCKS = [bytes([number]) * 50 for number in range(4)]


@pytest.fixture
def blocks(files: CheckedFiles) -> Blocks:
    files.write_blocks("b", BLOCKS, {"names": ["x"]})
    found = files.blocks("b")
    assert found is not None
    return found


def test_blocks_come_back_one_by_one(files: CheckedFiles, blocks: Blocks) -> None:
    assert blocks.about == {"names": ["x"]}
    assert [blocks.read(index) for index in (3, 0, 2, 1)] == [BLOCKS[index] for index in (3, 0, 2, 1)]
    assert files.blocks("c") is None
    assert sorted(path.name for path in files.folder.iterdir()) == ["a.kept", "b.kept"]


def test_a_flipped_bit_costs_its_block_or_all(files: CheckedFiles, blocks: Blocks) -> None:
    whole = blocks.path.read_bytes()
    for position in range(len(whole)):
        flipped = bytearray(whole)
        flipped[position] ^= 1 << position % 8
        blocks.path.write_bytes(flipped)
        found = files.blocks("b")
        if position < 200:
            assert found and [found.read(i) for i in range(4) if i != position // 50] == [
                block for i, block in enumerate(BLOCKS) if i != position // 50
            ]
            assert found.read(position // 50) is None
        else:
            assert found is None


def test_blocks_cut_short_or_of_another_file(files: CheckedFiles, blocks: Blocks) -> None:
    whole = blocks.path.read_bytes()
    for length in range(len(whole)):
        blocks.path.write_bytes(whole[:length])
        assert files.blocks("b") is None
    files.path("c").write_bytes(whole)
    assert files.blocks("c") is None
    blocks.path.write_bytes(whole[50:])
    found = files.blocks("b")
    assert found is not None and {found.read(index) for index in range(4)} == {None}
    blocks.path.unlink()
    assert blocks.read(0) is None


def test_nothing_is_left_where_making_the_blocks_fails(files: CheckedFiles) -> None:
    def broken() -> Iterator[bytes]:
        yield BLOCKS[0]
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        files.write_blocks("c", broken(), {})
    assert [path.name for path in files.folder.iterdir()] == ["a.kept"]
