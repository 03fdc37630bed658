# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Errors that users can mend themselves, and how a command line shows them."""

from __future__ import annotations

import sys
from types import TracebackType

__all__ = ["UserError", "show_user_errors_plainly"]


class UserError(Exception):
    """An error whose message says all there is to know: what was expected, what was found, what to do.

    Combine it with the built-in class that callers would catch, as in ``class BackboneNotFoundError(UserError,
    FileNotFoundError)``.
    """


def show_user_errors_plainly() -> None:
    """Print the message of a `UserError` that ends the process, without the traceback around it.

    ``monai.bundle run`` wraps an error in several others, and a list of faulty files drowns in a hundred lines of them.
    Bundles call this first thing in ``run``. Other errors keep their traceback, and the exit status stays 1.
    """
    sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
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
