# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The command line, ``python -m monai_vlsm COMMAND``; each module of this folder adds one command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from monai_vlsm.commands import adapters, cache, data, export, hub, label, models, predict, report
from monai_vlsm.errors import UserError
from monai_vlsm.interrupts import end_in_one_line

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after ``python -m monai_vlsm``; None takes those of the process.

    Returns:
        The exit status: 0 when all is well, 1 after an error that the user can mend; a command may define others.
    """
    parser = argparse.ArgumentParser(prog="python -m monai_vlsm", description="Text-prompted medical segmentation.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (models, data, report, predict, adapters, export, hub, label, cache):
        command.add(subparsers)
    values = parser.parse_args(arguments)
    try:
        with end_in_one_line():
            status: int = values.run(values)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return status
