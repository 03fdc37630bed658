# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``models``: the systems side by side, counted on the real architectures."""

from __future__ import annotations

import argparse

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser("models", help="all systems: parameters, sizes, what is trained")
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    from monai_vlsm.commands.systems import models_table

    print(models_table())
    return 0
