# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What commands print, where it cannot be printed as it is, or not at all."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["printing"]

_READER_GONE = 141  # what a shell reports for a program that SIGPIPE ends


@contextmanager
def printing() -> Iterator[None]:
    """All that was printed in the block has left this process at its end.

    Signs that a terminal has no code for, and bytes of file names that are no text, are shown as escapes.

    Raises:
        SystemExit: nobody reads it any more, as behind ``| head``; that is no fault.
        OSError: it cannot be written, as to a full disk.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if _can_print():
            raise
        _print_nowhere()
        if isinstance(error, BrokenPipeError):
            raise SystemExit(_READER_GONE) from None
        raise OSError(error.errno, error.strerror, "the standard output") from error


def _can_print() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _print_nowhere() -> None:
    """Else Python tries again at its end, and complains."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
