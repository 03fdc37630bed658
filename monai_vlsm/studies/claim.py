# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Who works on a run: a file that one worker alone can make, and touches as long as it lives."""

from __future__ import annotations

import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from monai_vlsm.io import WriteError

__all__ = ["Claim", "Claims", "holder"]

_PREFIX = "lease-"
_NAME = re.compile(rf"{_PREFIX}[0-9]{{6,18}}")
_BEATS = 6  # signs of life in the time of a lease


def _leases(folder: Path) -> list[Path]:
    """The leases of a run, the one that counts last; those before it belong to workers that died."""
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)]
    except OSError:
        return []
    return sorted(found, key=_number)


def _number(lease: Path) -> int:
    return int(lease.name.removeprefix(_PREFIX))


def holder(folder: Path) -> str:
    """Who has the newest lease of a run, dead or alive; empty without one."""
    leases = _leases(folder)
    try:
        return _name_in(leases[-1]) if leases else ""
    except OSError:
        return ""


def _name_in(lease: Path) -> str:
    return lease.read_text(encoding="utf-8", errors="replace").strip()


def _remove(path: Path, name: str) -> None:
    """Give a lease back, unless another worker has made one of that name since; its number is free again then."""
    with suppress(OSError):  # a server that is away: what was done is written, and others wait for a lease
        if _name_in(path) in ("", name):
            path.unlink()


class Claim:
    """A run that belongs to this worker while the block lasts.

    A thread touches the file of the lease. ``lost`` is set when another worker has taken the run over, as after the
    machine has slept; then the work must stop.

    Args:
        path: of the lease, which this worker has made.
        name: of the worker, which stands in it.
        lease: seconds.
    """

    def __init__(self, path: Path, name: str, lease: float) -> None:
        self.path, self.name, self.lease = path, name, lease
        self.lost = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()
        if not self.lost.is_set():
            _remove(self.path, self.name)

    def _beat(self) -> None:
        while not self._ended.wait(self.lease / _BEATS):
            try:
                if self._is_taken():
                    break
                os.utime(self.path)
            except FileNotFoundError:
                break
            except OSError:  # a server that is away for a moment
                continue
        else:
            return
        self.lost.set()

    def _is_taken(self) -> bool:
        """Whether another worker's lease is the newest; none is seen while a server is away.

        Names count too: once a folder holds no lease their numbers begin again, so the path may be that of another.
        """
        leases = _leases(self.path.parent)
        return bool(leases) and (leases[-1] != self.path or _name_in(self.path) not in ("", self.name))


class Claims:
    """Takes runs for one worker.

    A lease counts as dead when its file has not been touched for the time of a lease. No clock of a machine is asked
    for that: the age is the difference to a file that is touched at that moment on the same file system, and it is
    believed only after the file was seen unchanged for a part of a lease by a clock that nobody sets. So clocks may
    differ, or jump, by any time.

    Args:
        root: folder of the study.
        lease: seconds.
    """

    def __init__(self, root: Path, lease: float) -> None:
        self.root, self.lease = root, lease
        self.name = f"process {os.getpid()} on {socket.gethostname()} {secrets.token_hex(4)}"
        self._seen: dict[Path, tuple[int, float]] = {}  # of a lease: its time, and since when that is known

    def take(self, folder: Path) -> Claim | None:
        """The run, if it belongs to nobody; else None.

        Of all who try at the same moment one gets it: a new lease has the next number, and its file can be made once.

        Raises:
            WriteError: the folder cannot be written to.
        """
        leases = _leases(folder)
        if leases and not self._is_dead(leases[-1]):
            return None
        number = _number(leases[-1]) + 1 if leases else 1
        path = folder / f"{_PREFIX}{number:06}"
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(f"{self.name}\n")
            return self._claim(path)
        except FileExistsError:
            return None
        except OSError as error:
            _remove(path, self.name)
            raise _write_error(folder, error) from error

    def _claim(self, path: Path) -> Claim | None:
        """The claim, unless somebody with a later lease was quicker than the look at the folder; dead leases go."""
        leases = _leases(path.parent)
        before = leases[:-1]
        if leases[-1:] != [path]:
            path.unlink(missing_ok=True)
            return None
        for dead in before:
            dead.unlink(missing_ok=True)
        return Claim(path, self.name, self.lease)

    def is_alive(self, folder: Path) -> bool:
        """Whether somebody works on a run, as far as one look tells; where nothing can be written, by this clock."""
        leases = _leases(folder)
        if not leases:
            return False
        try:
            age = self._age(leases[-1])
        except WriteError:
            age = _age_here(leases[-1])
        return abs(age) < self.lease

    def _is_dead(self, path: Path) -> bool:
        try:
            touched = path.stat().st_mtime_ns
        except OSError:
            return False  # just given back: the next look tells
        now = time.monotonic()
        if self._seen.get(path, (None,))[0] != touched:
            self._seen[path] = (touched, now)
        unchanged = now - self._seen[path][1]
        return unchanged > self.lease or (unchanged > self.lease / 4 and self._age(path) > self.lease)

    def _age(self, path: Path) -> float:
        """Seconds since a file was touched, by the clock of its file system."""
        with self._clock() as now:
            try:
                return (now - path.stat().st_mtime_ns) / 1e9
            except OSError:
                return 0.0

    @contextmanager
    def _clock(self) -> Iterator[int]:
        path = self.root / f".clock-{secrets.token_hex(6)}"
        try:
            path.touch()
            yield path.stat().st_mtime_ns
        except OSError as error:
            raise _write_error(self.root, error) from error
        finally:
            with suppress(OSError):
                path.unlink()


def _age_here(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _write_error(folder: Path, error: OSError) -> WriteError:
    return WriteError(f"cannot write to {folder}: {error.strerror}. Make room or get permission there")
