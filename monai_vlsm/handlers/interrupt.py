# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A short goodbye after Ctrl-C."""

from __future__ import annotations

import shlex
import sys
from typing import NoReturn

import ignite.distributed as idist
from ignite.engine import Engine, Events

__all__ = ["InterruptExit", "resume_command"]

EXIT_CODE = 130  # what a shell reports for a program ended by SIGINT


def resume_command() -> str:
    """The command line of this process with ``--resume True`` in place of what it says about ``--resume``."""
    pairs = zip(["", *sys.orig_argv], sys.orig_argv, strict=False)
    kept = [word for before, word in pairs if "--resume" not in (before, word.partition("=")[0])]
    return shlex.join([*kept, "--resume", "True"])


class InterruptExit:
    """After Ctrl-C prints one line, how to resume, and ends the process with code 130 instead of tracebacks.

    Attach to the trainer *and* to the evaluator that runs within it, as the *first* handler of each: ignite calls only
    the first handler of EXCEPTION_RAISED that raises, and ``StatsHandler`` would print the traceback. Every other
    exception is passed on as it is. :class:`TrainingState` has already written what is needed to resume.

    Args:
        command: what to type to resume; by default the command line of this process with ``--resume True``.
    """

    def __init__(self, command: str | None = None) -> None:
        self.command = command

    def attach(self, engine: Engine) -> None:
        """Handle what interrupts ``engine``."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)

    def __call__(self, engine: Engine, error: BaseException) -> NoReturn:
        """Turn KeyboardInterrupt into an exit, raise anything else again."""
        if not isinstance(error, KeyboardInterrupt):
            raise error
        if idist.get_rank() == 0:
            print(f"\nInterrupted. Resume with: {self.command or resume_command()}", file=sys.stderr, flush=True)
        raise SystemExit(EXIT_CODE) from None
