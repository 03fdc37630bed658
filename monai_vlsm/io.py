# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Writing files so that a reader never meets half of one, and saying plainly when it cannot be done."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from monai_vlsm.errors import UserError

__all__ = [
    "PART",
    "WriteError",
    "replacing",
    "require_writable",
    "save_atomically",
    "write_bytes",
    "write_json",
    "write_text",
]

PART = ".part"
"""How the name of a temporary file ends; it begins with a dot."""

_NAME_BYTES = 100  # of the target's name in that of its temporary file: file systems take 255 in all


class WriteError(UserError, OSError):
    """A file or folder cannot be written: no room, no permission, or something else is in its place."""


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that takes its place when the block ends without an error.

    Folders that are missing are made. The temporary name is unique, so that two processes that write the same file do
    not disturb each other: the last one wins, whole. What was written has reached the disk before it takes the place.
    After an error, Ctrl-C included, the old file is untouched and the temporary one is removed.

    Raises:
        WriteError: the folder or the file cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target)
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync(target.parent)
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise _write_error(target, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    """A new empty file beside ``target``, with the permissions that any new file gets here."""
    start = target.name.encode("utf-8", "surrogateescape")[:_NAME_BYTES].decode("utf-8", "ignore")
    path = target.with_name(f".{start}.{secrets.token_hex(6)}{PART}")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; folders only where the system can."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(target: Path, error: OSError) -> WriteError:
    what_is_left = "the file that was there is whole" if target.is_file() else "nothing was left there"
    return WriteError(
        f"cannot write {target.name} in {target.parent}: {_reason(error)}; {what_is_left}. "
        "Make room or get permission there, or give another folder"
    )


def _reason(error: OSError) -> str:
    return error.strerror or str(error).partition("\n")[0] or type(error).__name__


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write bytes, all or nothing.

    Raises:
        WriteError: when it cannot be done.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text in UTF-8 with its line ends as they are, all or nothing.

    Raises:
        WriteError: when it cannot be done.
    """
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], content: Any, indent: int = 2) -> None:
    """Write plain values as JSON, all or nothing; other values as their text.

    Raises:
        ValueError: infinite numbers and NaN, which JSON does not have.
        WriteError: when it cannot be done.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False, default=str)
    write_text(path, text + "\n")


def save_atomically(obj: Any, path: str | os.PathLike[str]) -> None:
    """``torch.save`` to ``path``, all or nothing.

    Raises:
        WriteError: when it cannot be done.
    """
    import torch  # here, because commands that need no network start without it

    with replacing(path) as temporary, temporary.open("wb", buffering=0) as file:
        sink: Any = _Sink(file)
        torch.save(obj, sink)
        if sink.error is not None:
            raise sink.error


class _Sink:
    """Takes what ``torch.save`` writes and keeps the first error: torch ends the process when its writer fails."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = rest.nbytes
        while rest.nbytes and self.error is None:
            try:
                rest = rest[self.file.write(rest) :]
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Nothing is kept back."""


def require_writable(folder: str | os.PathLike[str]) -> None:
    """Check that files can be written to a folder, made if it is missing; nothing is left behind.

    Raises:
        WriteError: when they cannot.
    """
    path = Path(folder)
    made = [parent for parent in (path, *path.parents) if not parent.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        _temporary(path / "test").unlink()
    except OSError as error:
        raise WriteError(
            f"cannot write to the folder {path}: {_reason(error)}. Get permission or room there, or give another folder"
        ) from error
    finally:
        for parent in made:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
