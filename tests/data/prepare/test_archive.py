# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders and zip files read alike; broken and foreign ones say so."""

from __future__ import annotations

import unicodedata
import zipfile
from pathlib import Path

import pytest

from monai_vlsm.data.prepare import Archive, ArchiveError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "download"
    (root / "in ner").mkdir(parents=True)
    (root / "in ner" / "a.txt").write_text("A")
    (root / ".hidden").write_text("no")
    (root / "__MACOSX").mkdir()
    (root / "__MACOSX" / "._a.txt").write_text("no")
    with zipfile.ZipFile(root / "part.zip", "w") as file:
        file.writestr("deep/b.txt", "B")
        file.writestr("deep/c.txt", "C")
        file.writestr("__MACOSX/deep/._b.txt", "no")
        file.writestr("deep/.DS_Store", "no")
    return root


def test_zip_files_are_looked_into(folder: Path) -> None:
    with Archive(folder) as archive:
        assert archive.names == ("in ner/a.txt", "part.zip/deep/b.txt", "part.zip/deep/c.txt")
        assert [archive.read(name) for name in archive.names] == [b"A", b"B", b"C"]
        assert "part.zip/deep/b.txt" in archive
        assert "b.txt" not in archive
    with Archive(folder / "part.zip") as archive:
        assert archive.names == ("deep/b.txt", "deep/c.txt")


def test_paths_lie_in_one_folder_and_go_away(folder: Path) -> None:
    with Archive(folder) as archive:
        with archive.paths("part.zip/deep/b.txt", "part.zip/deep/c.txt") as paths:
            assert [path.read_text() for path in paths] == ["B", "C"]
            assert len({path.parent for path in paths}) == 1
        assert not paths[0].exists()
        with archive.paths("in ner/a.txt") as [path]:
            assert path == folder / "in ner/a.txt"
        assert path.exists()


def test_fingerprints_change_with_the_content(folder: Path) -> None:
    with Archive(folder) as archive:
        before = [archive.fingerprint(name) for name in archive.names]
    (folder / "in ner/a.txt").write_text("AA")
    with zipfile.ZipFile(folder / "part.zip", "w") as file:
        file.writestr("deep/b.txt", "X")
        file.writestr("deep/c.txt", "C")
    with Archive(folder) as archive:
        after = [archive.fingerprint(name) for name in archive.names]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]


def test_accents_are_found_in_either_spelling(tmp_path: Path) -> None:
    name = "\u00fc.txt"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(unicodedata.normalize("NFD", name), "x")
    with Archive(tmp_path / "a.zip") as archive:
        assert archive.read(name) == archive.read(unicodedata.normalize("NFD", name)) == b"x"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no such file or folder: .*nowhere"):
        Archive(tmp_path / "nowhere")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 no zip")
    with pytest.raises(ArchiveError, match=r"broken\.zip: expected a folder or a \.zip file, found neither"):
        Archive(tmp_path / "broken.zip")
    (tmp_path / "CVC-ClinicDB.rar").write_bytes(b"Rar!")
    with pytest.raises(ArchiveError, match=r"only \.zip files can be read packed; unpack it and give the folder"):
        Archive(tmp_path / "CVC-ClinicDB.rar")


def test_a_damaged_member(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("a.txt", "content")
    data = (tmp_path / "a.zip").read_bytes().replace(b"content", b"CONTENT", 1)
    (tmp_path / "a.zip").write_bytes(data)
    with Archive(tmp_path / "a.zip") as archive, pytest.raises(ArchiveError, match=r"a\.txt: cannot be read .*CRC"):
        archive.read("a.txt")
