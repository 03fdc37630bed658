# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Programs that a worker starts: their output goes to a log, and they end when the worker does."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_vlsm.errors import UserError
from monai_vlsm.io import append_text

__all__ = ["ClaimLostError", "last_error", "run_logged", "said_since", "start"]

_POLL = 0.5  # seconds between two looks at whether the claim still holds
_GRACE = 60  # seconds that a program gets to end by itself
_ERROR = "error: "
_WRAPPED = "The above exception was the direct cause of the following exception:"
_WRAPPER = re.compile(r"RuntimeError: Failed to (evaluate|instantiate|execute)\b")  # MONAI's parser says no more
_TAIL = 3  # lines of such an error
_RAISED = re.compile(r"(\w+\.)*[A-Z]\w*(: |$)")  # the line of a traceback that says what was raised
_DEATH_SIGNAL = 1  # prctl's PR_SET_PDEATHSIG
_libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None


class ClaimLostError(UserError, RuntimeError):
    """Another worker has taken over the run."""


def start(words: Sequence[str], environment: Mapping[str, str], **options: Any) -> subprocess.Popen[bytes]:
    """Start a program that Ctrl-C does not reach, and that on Linux does not outlive its worker, even after kill -9."""
    parent = os.getpid()

    def tie() -> None:  # runs in the new process
        if _libc is not None:
            _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

    tied: Callable[[], None] | None = tie if os.name == "posix" else None
    return subprocess.Popen(words, env=dict(environment), start_new_session=True, preexec_fn=tied, **options)


def run_logged(words: Sequence[str], environment: Mapping[str, str], log: Path, lost: threading.Event) -> float:
    """Run a program to its end.

    Args:
        words: the program and its arguments.
        environment: variables.
        log: gets the command and all that the program says, at its end.
        lost: the program is ended when this is set.

    Returns:
        Seconds that it took.

    Raises:
        subprocess.CalledProcessError: it failed; `last_error` says why.
        ClaimLostError: ``lost`` was set.
        KeyboardInterrupt: as it came; the program has ended before.
    """
    append_text(log, f"\n$ {' '.join(words)}\n")
    began = time.monotonic()
    with log.open("ab") as output, start(words, environment, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            while process.poll() is None and not lost.is_set():
                _wait(process, _POLL)
        finally:
            _end(process)
    if lost.is_set():
        raise ClaimLostError(f"another worker has taken over the run of {log.parent.name}")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(words))
    return time.monotonic() - began


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that still runs: it may write what it has, then it is killed."""
    if process.poll() is None:
        process.terminate()
        _wait(process, _GRACE)
        process.kill()


def last_error(log: Path, since: int, status: int) -> str:
    """What a program said last of why it ended.

    Args:
        log: of the program.
        since: where in the log it began, in bytes.
        status: with which it ended.
    """
    if status < 0:
        known = {one.value: one.name for one in signal.Signals}
        name = known.get(-status, f"signal {-status}")
        return f"killed by {name}" + ("; perhaps there was not enough memory" if -status == signal.SIGKILL else "")
    lines = said_since(log, since)
    errors = [line.removeprefix(_ERROR) for line in lines if line.startswith(_ERROR)]
    return (errors or _unwrapped(lines) or [f"ended with status {status}"])[-1]


def _unwrapped(lines: list[str]) -> list[str]:
    """Lines up to what was raised first, where errors of MONAI's parser that wrap it are all that stands behind."""
    kept = lines
    while _WRAPPED in kept and any(_WRAPPER.match(line) for line in kept[-_TAIL:]):
        kept = kept[: len(kept) - 1 - kept[::-1].index(_WRAPPED)]
    if len(kept) == len(lines):
        return lines
    frame = max((index for index, line in enumerate(kept) if line.startswith('File "')), default=-1)
    return [line for line in kept[frame + 1 :] if _RAISED.match(line)][:1] or kept


def said_since(log: Path, since: int) -> list[str]:
    """Lines of a log from a place in bytes on, without empty ones."""
    with log.open("rb") as file:
        file.seek(since)
        return [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
