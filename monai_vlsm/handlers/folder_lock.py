# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One run at a time in a folder."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ignite.distributed as idist

from monai_vlsm.errors import UserError
from monai_vlsm.io import WriteError, require_writable

fcntl: Any
msvcrt: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

__all__ = ["LOCK", "FolderInUseError", "claim_folders", "release_folders", "require_free_folders"]

logger = logging.getLogger(__name__)

LOCK = ".monai_vlsm_lock"
"""Hidden file in the folder of a run while it lasts; says who it is."""

_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}


class FolderInUseError(UserError, RuntimeError):
    """Another run writes to the folder."""


@dataclass
class _Claim:
    handle: int
    path: Path
    made: list[Path]  # folders that were not there before
    thread: threading.Thread = field(default_factory=threading.current_thread)
    process: int = field(default_factory=os.getpid)


_claims: dict[tuple[int, int], _Claim] = {}  # by device and inode of the lock


def require_free_folders(*folders: str | os.PathLike[str]) -> None:
    """Check that folders can be written to and that no other run writes there now; nothing is made.

    For the start, before data is looked at; `claim_folders` comes when the work begins.

    Raises:
        FolderInUseError: another run has one of the folders; says which process on which machine.
        WriteError: one of the folders cannot be written to.
    """
    if idist.get_rank() != 0:
        return
    for folder in _distinct(folders):
        require_writable(folder)
        path = folder / LOCK
        if path.exists() and not _is_own(path):
            os.close(_locked(folder, path))


def claim_folders(*folders: str | os.PathLike[str]) -> None:
    """Keep other runs out of folders until `release_folders` or the end of the process; missing ones are made.

    The system gives a lock back when its process ends, however it ends, so that a run that was killed with -9 leaves
    nothing that keeps the next one out. Network file systems pass such locks between machines if their server keeps
    locks; where it does not, a warning says that nobody else is kept out. In a run of several processes the first
    decides. Later runs of the same thread, one after the other, share a folder.

    Raises:
        FolderInUseError: as `require_free_folders`.
        WriteError: as `require_free_folders`.
    """
    require_free_folders(*folders)
    if idist.get_rank() == 0:
        for folder in _distinct(folders):
            _claim(folder)


def _distinct(folders: Iterable[str | os.PathLike[str]]) -> list[Path]:
    return list(dict.fromkeys(Path(folder).resolve() for folder in folders))


def release_folders() -> None:
    """Give the folders back that this thread has claimed; lock files and folders that stayed empty are removed."""
    for key, claim in reversed(list(_claims.items())):
        if claim.thread is threading.current_thread() or not claim.thread.is_alive():
            _release(_claims.pop(key))


@atexit.register
def _release_all() -> None:
    while _claims:
        _release(_claims.popitem()[1])


def _claim(folder: Path) -> None:
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    if path.exists() and _is_own(path):
        _claims[_identity(path)].thread = threading.current_thread()
        return
    handle = _locked(folder, path)
    os.ftruncate(handle, 0)
    os.write(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    _claims[_identity(path)] = _Claim(handle, path, made)


def _is_own(path: Path) -> bool:
    """Whether this thread has the lock, or one that is over.

    Raises:
        FolderInUseError: another thread of this process has it.
    """
    claim = _claims.get(_identity(path))
    if claim is not None and claim.thread is not threading.current_thread() and claim.thread.is_alive():
        raise _in_use(path.parent, "of this process")
    return claim is not None


def _locked(folder: Path, path: Path) -> int:
    """An open file with the lock; the file of a run that has just ended and removed it does not count."""
    while True:
        handle = _opened(path)
        try:
            _lock(handle)
        except OSError as error:
            if error.errno in _TAKEN:
                os.close(handle)
                raise _in_use(folder, _owner(path)) from None
            logger.warning(
                "the file system of %s keeps no locks (%s): take care that no other run writes there",
                folder,
                error.strerror,
            )
        found = os.fstat(handle)
        if path.exists() and _identity(path) == (found.st_dev, found.st_ino):
            return handle
        os.close(handle)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:  # of somebody else, from a run that was killed
        raise WriteError(
            f"cannot write {path}: {error.strerror}; remove it if no run writes to the folder, or give another folder"
        ) from error


def _lock(handle: int) -> None:
    """A lock of the process: workers that outlive it by some seconds do not keep it, as they would one of ``flock``."""
    if fcntl is not None:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        os.lseek(handle, 1 << 30, os.SEEK_SET)  # beyond the text: Windows keeps others from reading what is locked
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _owner(path: Path) -> str:
    """What the other run wrote; never asked for a lock of this process, which the closing of the file would end."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # Windows keeps others from it, or it is gone
        return ""


def _in_use(folder: Path, owner: str) -> FolderInUseError:
    return FolderInUseError(
        f"another run ({owner or 'of another process'}) writes to {folder}; wait for its end, or give other folders as "
        "--output_dir and --ckpt_dir"
    )


def _release(claim: _Claim) -> None:
    if claim.process != os.getpid():  # a forked one that ends as Python does
        return
    try:
        if fcntl is not None:
            claim.path.unlink(missing_ok=True)  # while it is locked, so that nobody's but ours is removed
        os.close(claim.handle)
        if fcntl is None:  # Windows removes no file that is open
            claim.path.unlink(missing_ok=True)
        for folder in claim.made:
            folder.rmdir()
    except OSError:  # not empty, or gone
        return
