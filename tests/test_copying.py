# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.copying import copy_whole
from monai_vlsm.io import WriteError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("source/a.txt", "source/deep/b.txt", "source/deep/eval/c.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path / "source"


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_what_is_left_out_is_so_at_every_depth(source: Path, tmp_path: Path) -> None:
    copy_whole(source, tmp_path / "new" / "copy", ["eval"])
    assert names(tmp_path / "new") == ["copy", "copy/a.txt", "copy/deep", "copy/deep/b.txt"]
    assert (tmp_path / "new" / "copy" / "deep" / "b.txt").read_text() == "source/deep/b.txt"


def test_it_takes_the_place_of_what_was_there(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "old").mkdir(parents=True)
    copy_whole(source, target)
    assert names(target) == names(source)
    copy_whole(source / "a.txt", target / "deep" / "b.txt")
    assert (target / "deep" / "b.txt").read_text() == "source/a.txt"


def test_copies_of_what_may_not_be_changed_can_be_changed(source: Path, tmp_path: Path) -> None:
    for path in (source / "a.txt", source / "deep", source):
        path.chmod(0o555)
    copy_whole(source, tmp_path / "copy")
    for path in (source, source / "deep"):
        path.chmod(0o755)  # so that they can be removed
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    assert (tmp_path / "copy").stat().st_mode == (tmp_path / "copy" / "deep").stat().st_mode == fresh.stat().st_mode
    assert (tmp_path / "copy" / "a.txt").stat().st_mode & 0o200


def test_a_full_disk_leaves_what_was_there(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine.txt").touch()

    def fail(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(WriteError, match=r"cannot copy source to .*: No space left on device\. Make room"):
        copy_whole(source, target)
    assert names(target) == ["mine.txt"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_file_in_the_way(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"cannot copy source to .*file: "):
        copy_whole(source, tmp_path / "file" / "copy")
