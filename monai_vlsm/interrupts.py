# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM: one line that says what is kept, and the exit status that a shell expects."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Terminated", "end_in_one_line", "exit_code", "goodbye", "own_process", "sigterm_like_ctrl_c", "telling"]

PROGRAMS = ("monai.bundle.__main__", "monai_vlsm.__main__")


class Terminated(KeyboardInterrupt):
    """SIGTERM came, as from a cluster whose time is over; all that minds Ctrl-C minds it too."""


def exit_code(error: KeyboardInterrupt) -> int:
    """What a shell reports for a program that ended by the signal: 130 after Ctrl-C, 143 after SIGTERM."""
    return 128 + (signal.SIGTERM if isinstance(error, Terminated) else signal.SIGINT)


def goodbye(error: KeyboardInterrupt) -> str:
    """The one line: ``Interrupted.`` and what `telling` has noted on the way."""
    return " ".join(["Interrupted.", *getattr(error, "__notes__", [])])


def own_process() -> bool:
    """Whether this process is ``python -m monai.bundle`` or ``python -m monai_vlsm``, and not another program.

    Signal handlers and ``sys.excepthook`` belong to the program; one that runs a bundle in Python keeps its own.
    """
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    return getattr(spec, "name", None) in PROGRAMS


@contextmanager
def telling(kept: Callable[[], str]) -> Iterator[None]:
    """When the block is interrupted, note what is kept, for the line at the end.

    Args:
        kept: called then; gives a sentence such as ``"3 of 5 images are done, their masks are in out."``.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(kept())
        raise


def sigterm_like_ctrl_c() -> Callable[[], None]:
    """Raise `Terminated` at SIGTERM; a second one, which some senders add, is ignored while the first is minded.

    Nothing changes outside the main thread, where Python takes no signal handlers, and where the program has its own.

    Returns:
        Brings back what was before.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return lambda: None
    owner = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker that has not set its own handlers yet
            os._exit(128 + number)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, end)
    return lambda: _restore_default(end)


def _restore_default(ours: Callable[[int, FrameType | None], None]) -> None:
    if signal.getsignal(signal.SIGTERM) in (ours, signal.SIG_IGN):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def end_in_one_line() -> Iterator[None]:
    """End the process after Ctrl-C or SIGTERM in the block: one line on stderr, no traceback, status 130 or 143.

    For a command. When the block ends otherwise, signals are as they were.

    Raises:
        SystemExit: after an interruption.
    """
    restore = sigterm_like_ctrl_c()
    try:
        yield
    except KeyboardInterrupt as error:
        print(f"\n{goodbye(error)}", file=sys.stderr, flush=True)
        raise SystemExit(exit_code(error)) from None
    finally:
        restore()
