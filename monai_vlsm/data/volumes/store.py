# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What is kept of volumes on the disk: their slices, so that one is read without the others, and facts.

A volume is unpacked once for each plane: its slices lie one after the other, each with a checksum. No file stays open,
and but for the moment of unpacking, when one volume at a time is in memory, there is no more there than the slices
asked for.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from monai_vlsm.checked_files import Blocks, CheckedFiles, default_folder
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.volumes.explained import explained
from monai_vlsm.data.volumes.facts import VolumeFacts, facts_of, from_plain, to_plain
from monai_vlsm.data.volumes.formats import read_channel
from monai_vlsm.data.volumes.planes import to_stack
from monai_vlsm.data.volumes.series import series_place
from monai_vlsm.data.volumes.slices import StoredSlices
from monai_vlsm.io import WriteError, require_writable

__all__ = [
    "NotKeptError",
    "borrowed_slices",
    "kept",
    "key_of",
    "read_source",
    "signature",
    "source_facts",
    "store_folder",
    "stored_slices",
    "volume_files",
]

FORMAT = 2  # of the files, and of what is in them; another number never reads these
SUFFIXES = STACK, FACTS, COUNTS = ".stack", ".facts", ".counts"

logger = logging.getLogger(__name__)

_refused: set[Path] = set()  # folders that could not be written
_lock = threading.RLock()  # held while a volume is in memory


class NotKeptError(Exception):
    """The folder takes no more files."""


def _renew_lock() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def store_folder() -> Path:
    """Where the files lie."""
    return Path(default_folder()) / "volumes"


def volume_files(folder: str | os.PathLike[str]) -> list[Path]:
    """What of this kind lies in a folder, with what a killed process left there."""
    return sorted({path for suffix in SUFFIXES for path in CheckedFiles(Path(folder), suffix).own_files()})


def signature(path: str | os.PathLike[str]) -> list[tuple[str, int, int]]:
    """Name, size and time of change of a file, or of all files in the folder of a series.

    Raises:
        OSError: no such file.
    """
    place, _ = series_place(path)
    if not place.is_dir():
        return [(place.name, (stat := place.stat()).st_size, stat.st_mtime_ns)]
    with os.scandir(place) as files:
        return sorted((file.name, (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)


def key_of(path: Path, *more: Any) -> str:
    """Name of what is kept of a file, or of the folder of a series, as it is now.

    Raises:
        MissingFileError: no such file.
    """
    with explained(path, "volume"):
        facts = [FORMAT, str(path.absolute()), signature(path), *more]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def read_source(path: Path, channel: int | None) -> tuple[np.ndarray, VolumeFacts]:
    """A volume ``(X, Y, Z)`` with the axes of its file, and what it is.

    Raises:
        MissingFileError: no such file.
        DatasetProblems: it cannot be read, has no value or several volumes.
    """
    with explained(path, "volume"):
        array, meta = read_channel(path, channel)
        return array, facts_of(array, meta)


def source_facts(path: Path, channel: int | None) -> VolumeFacts:
    """What a volume is, which is not in memory for longer than that takes; errors as in `read_source`."""
    with _lock:
        return read_source(path, channel)[1]


def kept(path: Path, suffix: str, make: Callable[[], Any], *depends: Any) -> Any:
    """Plain values about a volume, read from their file, or made and written.

    Args:
        path: of the volume.
        suffix: of the file, from ``SUFFIXES``.
        make: makes the values.
        depends: on what they depend beside the volume.
    """
    files, key = CheckedFiles(store_folder(), suffix), key_of(path, *depends)
    content = files.read(key)
    if content is not None:
        return json.loads(content)
    made = make()
    if _writable(files.folder):
        _written(files.folder, 0, lambda: files.write(key, json.dumps(made).encode()))
    return made


def stored_slices(path: Path, plane: str, channel: int | None) -> tuple[StoredSlices, VolumeFacts]:
    """The slices of a volume, and what it is.

    Raises:
        MissingFileError: no such file.
        DatasetProblems: as `read_source`.
        NotKeptError: the slices cannot be written.
    """
    files, key = CheckedFiles(store_folder(), STACK), key_of(path, channel, plane)
    make = partial(_unpacked, files, key, path, plane, channel)
    blocks = files.blocks(key) or make(0)
    return StoredSlices(blocks, make), from_plain(blocks.about["facts"])


@contextmanager
def borrowed_slices(path: str | os.PathLike[str], plane: str, channel: int | None = None) -> Iterator[None]:
    """What is unpacked of a volume meanwhile does not stay on the disk; what lay there before does.

    For volumes that are read once: their slices take as much room as they do in memory, and hold patients' data.

    Args:
        path: of the volume.
        plane: of the slices.
        channel: which volume of a 4D file.
    """
    files, source = CheckedFiles(store_folder(), STACK), Path(path)
    key = key_of(source, channel, plane)
    there = files.path(key).exists()
    try:
        yield
    finally:
        if not there:
            files.path(key).unlink(missing_ok=True)


def _unpacked(files: CheckedFiles, key: str, path: Path, plane: str, channel: int | None, index: int) -> Blocks:
    """The slices of a volume, written now; or while this waited, by another thread that missed slice ``index`` too."""
    with _lock:
        blocks = files.blocks(key)
        if blocks is None or blocks.read(index) is None:
            _unpack(files, key, path, plane, channel)
            blocks = files.blocks(key)
    if blocks is None:
        raise NotKeptError
    return blocks


def _unpack(files: CheckedFiles, key: str, path: Path, plane: str, channel: int | None) -> None:
    if not _writable(files.folder):
        raise NotKeptError
    if key_of(path, channel, plane) != key:
        raise DatasetProblems([Problem(str(path), "the file as it was before", "a change while it was in use")])
    array, facts = read_source(path, channel)
    stack = to_stack(array, facts.affine, plane)
    kept(path, FACTS, lambda: to_plain(facts), channel)
    about = {"stack": stack.shape, "dtype": stack.dtype.str, "facts": to_plain(facts)}
    slices = (np.ascontiguousarray(one).data for one in stack)
    _written(files.folder, stack.nbytes, lambda: files.write_blocks(key, slices, about))


def _writable(folder: Path) -> bool:
    with suppress(OSError):  # made for good, so that no other thread finds it gone again
        folder.mkdir(parents=True, exist_ok=True)
    return folder not in _refused and _written(folder, 0, lambda: require_writable(folder))


def _written(folder: Path, size: int, write: Callable[[], None]) -> bool:
    """Whether something could be written; where not, it is said once and not tried again."""
    try:
        if size and shutil.disk_usage(folder if folder.is_dir() else folder.parent).free < size:
            raise WriteError(f"cannot write to the folder {folder}: it has no room for {size / 1e6:,.0f} MB")
        write()
    except WriteError as error:
        if folder not in _refused:
            logger.warning(
                "slices of volumes are not kept, so that volumes are decompressed again and again: %s. "
                "XDG_CACHE_HOME names the folder above",
                error,
            )
        _refused.add(folder)
        return False
    return True
