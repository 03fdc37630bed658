# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A download as one list of files, whether it is a folder, a .zip, or a folder with .zip files in it."""

from __future__ import annotations

import unicodedata
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from monai.config import PathLike

from monai_vlsm.data.sources import files_below
from monai_vlsm.errors import UserError
from monai_vlsm.names import user_path

__all__ = ["Archive", "ArchiveError"]

PACKED = (".rar", ".7z", ".tar", ".gz", ".tgz", ".xz")


class ArchiveError(UserError, ValueError):
    """A download that cannot be read."""


@dataclass(frozen=True)
class _Member:
    """Where one file is: on disk, or under a name in a zip file."""

    path: Path
    entry: zipfile.ZipInfo | None = None


class Archive:
    """The files of a download. Zip files are looked into; nothing is unpacked beside the source.

    A context manager: it closes the zip files. Files can be read in several threads.

    Args:
        source: a folder or a .zip file.

    Raises:
        ArchiveError: no such file or folder, a broken zip file, or a file of another packer.
    """

    def __init__(self, source: PathLike) -> None:
        self.source = user_path(source)
        self._zips: dict[Path, zipfile.ZipFile] = {}
        self._members = {_normal(name): member for name, member in self._walk()}
        self.names: tuple[str, ...] = tuple(sorted(self._members))

    def __contains__(self, name: str) -> bool:
        return _normal(name) in self._members

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._zips.values():
            file.close()

    def _walk(self) -> Iterator[tuple[str, _Member]]:
        if self.source.is_file():
            yield from self._zip_members(self.source, "")
            return
        if not self.source.is_dir():
            raise ArchiveError(f"no such file or folder: {self.source}")
        for name in files_below(self.source):
            path = self.source / name
            if path.suffix.lower() == ".zip":
                yield from self._zip_members(path, f"{name}/")
            else:
                yield name, _Member(path)

    def _zip_members(self, path: Path, prefix: str) -> Iterator[tuple[str, _Member]]:
        if path.name.lower().endswith(PACKED):
            raise ArchiveError(f"{path}: only .zip files can be read packed; unpack it and give the folder")
        try:
            self._zips[path] = zipfile.ZipFile(path)
        except zipfile.BadZipFile as error:
            raise ArchiveError(f"{path}: expected a folder or a .zip file, found neither ({error})") from error
        for entry in self._zips[path].infolist():
            parts = PurePosixPath(entry.filename).parts
            if not entry.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in parts):
                yield prefix + entry.filename, _Member(path, entry)

    def fingerprint(self, name: str) -> str:
        """What changes when the file does: size and checksum in a zip file, size and time on disk."""
        member = self._members[_normal(name)]
        if member.entry:
            return f"{member.entry.file_size}:{member.entry.CRC:08x}"
        state = member.path.stat()
        return f"{state.st_size}:{state.st_mtime_ns}"

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises:
            ArchiveError: it cannot be read.
        """
        with self._open(name) as file:
            try:
                return file.read()
            except (OSError, zipfile.BadZipFile, EOFError) as error:
                raise ArchiveError(f"{name}: cannot be read ({error})") from error

    def _open(self, name: str) -> IO[bytes]:
        member = self._members[_normal(name)]
        try:
            return self._zips[member.path].open(member.entry) if member.entry else member.path.open("rb")
        except (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:  # a password, a packing
            raise ArchiveError(f"{name}: cannot be opened ({error})") from error

    @contextmanager
    def paths(self, *names: str) -> Iterator[list[Path]]:
        """Paths of files for readers that need them: those of a zip file are unpacked for as long as the block lasts.

        Files that belong together, such as ``.mhd`` and ``.raw``, lie in one folder.
        """
        members = [self._members[_normal(name)] for name in names]
        if not any(member.entry for member in members):
            yield [member.path for member in members]
            return
        with TemporaryDirectory() as folder:
            paths = [Path(folder, PurePosixPath(name).name) for name in names]
            for name, path in zip(names, paths, strict=True):
                path.write_bytes(self.read(name))
            yield paths


def _normal(name: str) -> str:
    """One spelling of accents: zip files of a Mac write them as letter and mark."""
    return unicodedata.normalize("NFC", name)
