# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors that users can mend themselves, and how a command line shows them."""

from __future__ import annotations

import sys
from types import TracebackType

from monai_vlsm.interrupts import exit_code, goodbye, own_process, sigterm_like_ctrl_c

__all__ = ["UserError", "show_user_errors_plainly"]


class UserError(Exception):
    """An error whose message says all there is to know: what was expected, what was found, what to do.

    Combine it with the built-in class that callers would catch, as in ``class BackboneNotFoundError(UserError,
    FileNotFoundError)``.
    """


def show_user_errors_plainly() -> None:
    """Print the message of a `UserError` that ends the process, without the traceback around it.

    ``monai.bundle run`` wraps an error in several others, and a list of faulty files drowns in a hundred lines of them.
    Bundles call this first thing in ``run``. Ctrl-C and SIGTERM end in one line too, with status 130 and 143; other
    errors keep their traceback, and the exit status stays 1.

    Nothing happens in a program that runs a bundle in Python: ``sys.excepthook`` and the signals are its own there.
    """
    if own_process():
        sys.excepthook = _show
        sigterm_like_ctrl_c()


def _show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if isinstance(error, KeyboardInterrupt):
        print(f"\n{goodbye(error)}", file=sys.stderr, flush=True)
        raise SystemExit(exit_code(error))  # Python ends with the status of an exit that this hook raises
    user_error = _user_error(error)
    if user_error is None:
        sys.__excepthook__(kind, error, traceback)
    else:
        print(f"\nerror: {user_error}", file=sys.stderr)


def _user_error(error: BaseException | None) -> UserError | None:
    """The first `UserError` on the way from an error to its causes."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error
