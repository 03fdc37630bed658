# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The command line, ``python -m monai_vlsm COMMAND``; each module of this folder adds one command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from monai_vlsm.commands import (
    adapters,
    bundle,
    cache,
    data,
    demo,
    export,
    federated,
    hub,
    label,
    merge,
    models,
    predict,
    report,
    study,
)
from monai_vlsm.commands.modules import import_named
from monai_vlsm.commands.printing import printing
from monai_vlsm.errors import plain_message
from monai_vlsm.interrupts import end_in_one_line

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with status 2, as argparse does, without the list of all options."""
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; Ctrl-C and SIGTERM end it in one line, with status 130 and 143.

    Args:
        arguments: the words after ``python -m monai_vlsm``; None takes those of the process.

    Returns:
        The exit status: 0 when all is well, 1 after an error that the user can mend; a command may define others.
    """
    with end_in_one_line():
        try:
            with printing():
                status = _run(_parser().parse_args(arguments))
        except Exception as error:
            message = plain_message(error)
            if message is None:
                raise
            print(f"error: {message}", file=sys.stderr)
            status = 1
    return status


def _parser() -> _Parser:
    parser = _Parser(prog="python -m monai_vlsm", description="Text-prompted medical segmentation.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    shown = (models, bundle, data, report, predict, demo, adapters, export, merge, hub, label, cache, study, federated)
    for command in shown:
        command.add(subparsers)
    return parser


def _run(values: argparse.Namespace) -> int:
    import_named(values)
    status: int = values.run(values)
    return status
