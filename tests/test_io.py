# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import resource
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.io import (
    WriteError,
    replacing,
    require_writable,
    save_atomically,
    write_bytes,
    write_json,
    write_text,
)

BIG = 100_000
WRITERS: dict[str, Callable[[Path], Any]] = {
    "bytes": lambda path: write_bytes(path, b"x" * BIG),
    "text": lambda path: write_text(path, "x" * BIG),
    "json": lambda path: write_json(path, ["x" * BIG]),
    "torch": lambda path: save_atomically({"x": torch.zeros(BIG)}, path),
}


@contextmanager
def _no_room(limit: int) -> Iterator[None]:
    """Files may not grow beyond ``limit`` bytes: writing then fails as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("limit", [0, 1000, 70_000])
def test_without_room_the_old_file_stays(tmp_path: Path, write: Callable[[Path], Any], limit: int) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with (
        pytest.raises(WriteError, match=r"cannot write file\.bin in .*too large.*that was there is whole"),
        _no_room(limit),
    ):
        write(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("there", [False, True])
def test_a_writing_within_another_names_the_file(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "file.bin"
    if there:
        path.touch()
    left = "the file that was there is whole" if there else "nothing was left there"
    message = rf"cannot write file\.bin in .*too large; {left}"
    with pytest.raises(WriteError, match=message), _no_room(1000), replacing(path) as temporary:
        write_bytes(temporary, b"x" * BIG)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, write: Callable[[Path], Any]) -> None:
    (tmp_path / "taken").write_text("mine")
    message = r"cannot write file in .*taken: (Not a directory|File exists); nothing was left there"
    with pytest.raises(WriteError, match=message):
        write(tmp_path / "taken" / "file")
    assert (tmp_path / "taken").read_text() == "mine"


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    write_text(folder / "a.txt", "é\r\n")
    write_json(folder / "a.json", {"é": Path("x"), "n": 0.5})
    save_atomically({"x": torch.arange(3)}, folder / "a.pt")
    assert (folder / "a.txt").read_bytes() == "é\r\n".encode()
    assert (folder / "a.json").read_text(encoding="utf-8") == '{\n  "é": "x",\n  "n": 0.5\n}\n'
    assert torch.load(folder / "a.pt", weights_only=True)["x"].tolist() == [0, 1, 2]


def test_no_number_that_json_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_error_in_the_block_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise error
    assert not any(tmp_path.iterdir())


def test_a_new_file_has_the_permissions_of_any(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_text(tmp_path / "ours", "")
    assert stat.S_IMODE((tmp_path / "ours").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127])
def test_the_longest_names(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "all")
    assert (tmp_path / name).read_text() == "all"


def test_two_writers_never_meet(tmp_path: Path) -> None:
    path, errors = tmp_path / "file", []

    def write(letter: str) -> None:
        try:
            for _ in range(30):
                write_text(path, letter * BIG)
                assert len(set(path.read_text())) == 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b")
    require_writable(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WriteError, match=r"cannot write to the folder .*file/below: Not a directory"):
        require_writable(tmp_path / "file" / "below")
    with pytest.raises(WriteError, match=r"cannot write to the folder .*file: File exists"):
        require_writable(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(WriteError, match="Permission denied"):
        require_writable(tmp_path / "locked" / "new")
