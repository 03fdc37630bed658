# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors that users can mend themselves, and how a command line shows them."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import TracebackType

from monai_vlsm.interrupts import exit_code, goodbye, own_process, sigterm_like_ctrl_c

__all__ = ["UserError", "causes", "first_cause", "plain_message", "show_user_errors_plainly"]


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
# what is wrong with a path that somebody gave, or that this machine gives
_PLACE = {errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EIO, errno.ESTALE}
_LOST = ("connection closed by peer", "connection reset by peer", "broken pipe", "no route to host")  # gloo's words
_SECONDS = 3  # that process 0 has to say the same
_ENGINES = ("SupervisedTrainer", "SupervisedEvaluator")  # MONAI's, which log by these names


class UserError(Exception):
    """An error whose message says all there is to know: what was expected, what was found, what to do.

    Combine it with the built-in class that callers would catch, as in ``class BackboneNotFoundError(UserError,
    FileNotFoundError)``.
    """


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it was raised from, what that was raised from and so on, each once; of None nothing."""
    seen: list[BaseException] = []
    while error is not None and not any(error is one for one in seen):
        seen.append(error)
        yield error
        error = error.__cause__


def first_cause(error: BaseException) -> BaseException:
    """What frameworks wrap in errors of their own: the first `UserError` of `causes`, without one the deepest."""
    for cause in causes(error):
        error = cause
        if isinstance(error, UserError):
            break
    return error


def show_user_errors_plainly() -> None:
    """Print the message of a `UserError` that ends the process, without the traceback around it.

    ``monai.bundle run`` wraps an error in several others, and a list of faulty files drowns in a hundred lines of them.
    Bundles call this first thing in ``run``. What is wrong with a disk or a path is told as plainly (`plain_message`).
    Ctrl-C and SIGTERM end in one line too, with status 130 and 143; other errors keep their traceback, and the exit
    status stays 1. Of several processes that torchrun started, those that miss one that has ended say so, and an error
    that all of them have is said by one.

    Nothing happens in a program that runs a bundle in Python: ``sys.excepthook`` and the signals are its own there.
    """
    if own_process():
        sys.excepthook = _show
        threading.excepthook = _show_of_thread
        sigterm_like_ctrl_c()
        for engine in _ENGINES:
            logging.getLogger(f"ignite.engine.engine.{engine}").addFilter(_is_said_here)


def _show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        print(f"\n{goodbye(error)}", file=sys.stderr, flush=True)
        raise SystemExit(exit_code(error))  # Python ends with the status of an exit that this hook raises
    message = plain_message(error)
    if message is None:
        sys.__excepthook__(kind, error, traceback)
        return
    _let_process_0_speak(error)
    print(f"\nerror: {message}", file=sys.stderr, flush=True)


def _let_process_0_speak(error: BaseException) -> None:
    """Wait in other processes: torchrun ends them, as it does whenever one fails, if process 0 has the error too."""
    if _rank() is None:
        return
    waits = _rank() != 0 and not _is_alone(error)
    signal.signal(signal.SIGTERM, signal.SIG_DFL if waits else signal.SIG_IGN)
    if waits:
        time.sleep(_SECONDS)


def _rank() -> int | None:
    """Number of this process among those that torchrun started."""
    return int(os.environ["RANK"]) if "TORCHELASTIC_RUN_ID" in os.environ else None


def _show_of_thread(arguments: threading.ExceptHookArgs) -> None:
    """Threads that write log files pass their error on to the main one, where it is shown."""
    if not _is_of_disk(arguments.exc_value):
        threading.__excepthook__(arguments)


def _is_said_here(record: logging.LogRecord) -> bool:
    """Ignite logs the message of an error that ends an engine; one that is the last line of all is not said twice."""
    error = sys.exc_info()[1]
    ended = "terminating due to exception" in str(record.msg)
    return not (ended and (isinstance(error, (KeyboardInterrupt, SystemExit)) or plain_message(error)))


def plain_message(error: BaseException | None) -> str | None:
    """What the user can mend, of an error or of its causes.

    That is a `UserError`; a disk that is full or read-only, or a path that cannot be used, whoever meets it; or, under
    torchrun, that another process has ended.

    Returns:
        One line without a traceback; None for any other error.
    """
    for one in causes(error):
        if isinstance(one, UserError):
            return _said(one)
        if isinstance(one, OSError) and _is_of_disk(one):
            return (
                f"cannot write {one.filename or 'a file'}: {one.strerror}; what was written before is whole. "
                "Make room there, or give another folder"
            )
        if isinstance(one, OSError) and one.errno in _PLACE and one.filename is not None:
            return f"cannot use {one.filename}: {one.strerror}. Get permission there, or give another path"
        if _is_alone(one):
            return (
                "another process of this run has ended, so this one ends too; what was written before is whole, and "
                "what went wrong stands in the lines of that process"
            )
    return None


def _is_alone(error: BaseException | None) -> bool:
    """Whether an error, or one of its causes, says that another process could not be reached any more."""
    for one in causes(error):
        lost = isinstance(one, RuntimeError) and any(words in str(one).lower() for words in _LOST)
        if _rank() is not None and (lost or any(kind.__name__ == "DistError" for kind in type(one).__mro__)):
            return True
    return False


def _said(error: UserError) -> str:
    """The message of an error; torch puts a traceback into that of one which comes from a worker of a loader."""
    text = str(error)
    if text.startswith("Caught ") and " worker process " in text.partition("\n")[0]:
        return text.rpartition(f"{type(error).__name__}: ")[2].strip()
    return text


def _is_of_disk(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in _DISK
