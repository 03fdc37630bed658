# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of a cache: each is whole and unchanged, or as good as not there."""

from __future__ import annotations

import json
import logging
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.io import PART, replacing, write_bytes

__all__ = ["Blocks", "CheckedFiles", "default_folder", "is_leftover"]

_DIGITS = 4  # bytes of the checksum, in front of the content
_LENGTH = 8  # bytes that say how long the table behind blocks is
_SUMS = "checksums"

logger = logging.getLogger(__name__)


def default_folder() -> str:
    """Where caches are kept when no other folder is named: ``monai_vlsm`` in the user's cache folder.

    Features lie in ``features`` below it, images in ``images``, slices of volumes in ``volumes``.
    """
    return str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monai_vlsm")


class CheckedFiles:
    """Files by a key, with a checksum of key and content; safe when several processes write and when one is killed.

    A file is written beside its place and then takes it. What the disk loses in a power cut is made again, so nothing
    waits for the disk.

    Args:
        folder: where they lie; made when the first is written.
        suffix: how their names end.
    """

    def __init__(self, folder: str | Path, suffix: str) -> None:
        self.folder, self.suffix = Path(folder), suffix

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.folder / f"{key}{self.suffix}"

    def read(self, key: str) -> bytes | None:
        """The content of a key; None where it is missing, cut short, changed or that of another key."""
        try:
            stored = self.path(key).read_bytes()
        except OSError:
            return None
        content = stored[_DIGITS:]
        if len(stored) >= _DIGITS and stored[:_DIGITS] == _checksum(key, content):
            return content
        _warn(self.path(key))
        return None

    def write(self, key: str, content: bytes) -> None:
        """Keep the content of a key.

        Raises:
            WriteError: when it cannot be written.
        """
        write_bytes(self.path(key), _checksum(key, content) + content, sync=False)

    def blocks(self, key: str) -> Blocks | None:
        """The blocks of a key, of which nothing but their table is read; None as in :meth:`read`."""
        path = self.path(key)
        try:
            with path.open("rb") as file:
                file.seek(-_LENGTH, os.SEEK_END)
                length = int.from_bytes(file.read(_LENGTH), "little")
                end = file.seek(-_LENGTH - length, os.SEEK_END)
                table = file.read(length)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, OverflowError, ValueError):  # cut short, or no file that may be read
            table, end = b"", 0
        if table[:_DIGITS] != _checksum(key, table[_DIGITS:]):
            _warn(path)
            return None
        about = json.loads(table[_DIGITS:])
        return Blocks(path, key, bytes.fromhex(about.pop(_SUMS)), end, about)

    def write_blocks(self, key: str, blocks: Iterable[bytes | memoryview], about: Mapping[str, Any]) -> None:
        """Keep blocks of one size, each of which can be read alone.

        Args:
            key: of the file.
            blocks: at least one, made one after the other.
            about: plain values that :meth:`blocks` gives back.

        Raises:
            WriteError: when they cannot be written.
        """
        sums = b""
        with replacing(self.path(key), sync=False) as temporary, temporary.open("wb") as file:
            for index, block in enumerate(blocks):
                file.write(block)
                sums += _checksum(f"{key} {index}", block)
            table = json.dumps({**about, _SUMS: sums.hex()}).encode()
            table = _checksum(key, table) + table
            file.write(table + len(table).to_bytes(_LENGTH, "little"))

    def own_files(self) -> Iterator[Path]:
        """All files of this kind, and what a killed process left of such."""
        for path in sorted(self.folder.glob("*")) if self.folder.is_dir() else ():
            if path.is_file() and (path.suffix == self.suffix or is_leftover(path)):
                yield path


@dataclass(frozen=True)
class Blocks:
    """A file of blocks; none of it stays open.

    Args:
        path: of the file.
        key: of the file.
        sums: the checksums of all blocks.
        length: bytes of all blocks.
        about: what was written with them.
    """

    path: Path
    key: str
    sums: bytes
    length: int
    about: dict[str, Any]

    def read(self, index: int) -> bytes | None:
        """One block; None where it is missing, cut short or changed."""
        size = self.length * _DIGITS // len(self.sums)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(index * size)
                block = file.read(size)
        except OSError:
            return None
        if _checksum(f"{self.key} {index}", block) == self.sums[_DIGITS * index :][:_DIGITS]:
            return block
        _warn(self.path)
        return None


def is_leftover(path: Path) -> bool:
    """Whether a killed process left this file."""
    return path.suffix == PART and path.name.startswith(".")


def _warn(path: Path) -> None:
    logger.warning("%s is damaged and is made anew", path)


def _checksum(key: str, content: bytes | memoryview) -> bytes:
    return zlib.crc32(content, zlib.crc32(key.encode())).to_bytes(_DIGITS, "little")
