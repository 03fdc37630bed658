# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of a cache: each is whole and unchanged, or as good as not there."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

from monai_vlsm.io import PART, write_bytes

__all__ = ["CheckedFiles"]

_DIGITS = 4  # bytes of the checksum, in front of the content

logger = logging.getLogger(__name__)


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
        logger.warning("%s is damaged and is made anew", self.path(key))
        return None

    def write(self, key: str, content: bytes) -> None:
        """Keep the content of a key.

        Raises:
            WriteError: when it cannot be written.
        """
        write_bytes(self.path(key), _checksum(key, content) + content, sync=False)

    def own_files(self) -> Iterator[Path]:
        """All files of this kind, and what a killed process left of such."""
        for path in sorted(self.folder.glob("*")) if self.folder.is_dir() else ():
            if path.is_file() and (path.suffix == self.suffix or is_leftover(path)):
                yield path


def is_leftover(path: Path) -> bool:
    """Whether a killed process left this file."""
    return path.suffix == PART and path.name.startswith(".")


def _checksum(key: str, content: bytes) -> bytes:
    return zlib.crc32(content, zlib.crc32(key.encode())).to_bytes(_DIGITS, "little")
