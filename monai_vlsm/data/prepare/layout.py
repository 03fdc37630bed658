# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Write the files of a dataset: whole or not at all, never over others, and not twice."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from monai_vlsm.data.prepare.archive import Archive, ArchiveError
from monai_vlsm.data.prepare.plan import Recipe
from monai_vlsm.errors import UserError
from monai_vlsm.progress import progress_bar

__all__ = ["Layout", "Outcome", "OutputError"]

JOURNAL = ".prepared.jsonl"


class OutputError(UserError, OSError):
    """The output folder cannot be written."""


class Outcome(Enum):
    """What became of one file."""

    WRITTEN = "written"
    KEPT = "already there"
    DIFFERS = "differs"
    FAULTY = "faulty"


class Layout:
    """The folder of one dataset.

    A file is written beside its place and then moved there, so that what is there is whole. A journal keeps, for each
    finished file, a hash and what it was made of; such a file is not made again. A file that is there and not in the
    journal is made again and compared: equal pixels or bytes are kept, others stay as they are and are reported.

    Args:
        folder: of the dataset; made if it is missing.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._journal = folder / JOURNAL
        self._lock = threading.Lock()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(folder, error) from error
        self._done = _read_journal(self._journal)

    def write_all(self, recipes: Mapping[str, Recipe], archive: Archive) -> Iterator[tuple[str, Outcome, str]]:
        """Make files in several threads, with a progress bar.

        Args:
            recipes: name in the folder to recipe.
            archive: the download that they read.

        Yields:
            for each file its name, what became of it, and for faulty ones why.

        Raises:
            OutputError: a file cannot be written; those before are whole.
        """
        names = sorted(recipes)
        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        try:
            made = pool.map(lambda name: self._make(name, recipes[name], archive), names)
            for name, (outcome, reason) in zip(names, progress_bar(made, "preparing", len(names), "file"), strict=True):
                yield name, outcome, reason
        finally:
            pool.shutdown(cancel_futures=True)  # else Ctrl-C waits for everything that is still to be made

    def _make(self, name: str, recipe: Recipe, archive: Archive) -> tuple[Outcome, str]:
        made_of = " ".join(f"{member}={archive.fingerprint(member)}" for member in recipe.members)
        path = self.folder / name
        if self._done.get(name) == (made_of, _hash_of(path)):
            return Outcome.KEPT, ""
        try:
            content = recipe.make()
        except (ArchiveError, OSError) as error:
            return Outcome.FAULTY, str(error)
        return self.save(name, content, made_of), ""

    def save(self, name: str, content: bytes, made_of: str = "") -> Outcome:
        """Write one file unless another is in its place.

        Args:
            name: relative to the folder.
            content: of the file.
            made_of: what would have to change for the file to be made again.

        Raises:
            OutputError: it cannot be written.
        """
        path = self.folder / name
        if path.exists() and not _same(path, content):
            return Outcome.DIFFERS
        return self._put(path, name, content, made_of)

    def replace(self, name: str, content: bytes) -> Outcome:
        """Write a file over an older one, if that was written here and not changed since; else as :meth:`save`."""
        path = self.folder / name
        if self._done.get(name, ("", ""))[1] == _hash_of(path) and not _same(path, content):
            path.unlink()
        return self.save(name, content)

    def _put(self, path: Path, name: str, content: bytes, made_of: str) -> Outcome:
        try:
            if path.exists():
                self._remember(name, made_of, _hash_of(path))
                return Outcome.KEPT
            _write(path, content)
            self._remember(name, made_of, hashlib.sha256(content).hexdigest())
        except OSError as error:
            raise _cannot_write(path, error) from error
        return Outcome.WRITTEN

    def _remember(self, name: str, made_of: str, digest: str) -> None:
        if self._done.get(name) == (made_of, digest):
            return
        line = json.dumps({"file": name, "made_of": made_of, "hash": digest})
        with self._lock, self._journal.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            self._done[name] = (made_of, digest)


def _read_journal(path: Path) -> dict[str, tuple[str, str]]:
    done: dict[str, tuple[str, str]] = {}
    if not path.is_file():
        return done
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
            done[entry["file"]] = (entry["made_of"], entry["hash"])
        except (ValueError, KeyError, TypeError):
            continue  # a line that was cut off; its file is made again and compared
    return done


def _hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"


def _same(path: Path, content: bytes) -> bool:
    """Equal bytes, or images of equal pixels: another version of Pillow writes other bytes."""
    if not path.is_file():
        return False
    there = path.read_bytes()
    return there == content or _pixels_equal(there, content)


def _pixels_equal(one: bytes, other: bytes) -> bool:
    try:
        with Image.open(BytesIO(one)) as first, Image.open(BytesIO(other)) as second:
            return (
                first.mode == second.mode
                and first.size == second.size
                and bool(np.array_equal(np.asarray(first), np.asarray(second)))
            )
    except (OSError, ValueError, SyntaxError):
        return False


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path}: {error.strerror or error}; what was finished stays, start again to go on")
