# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``--backbone`` and ``--import``: what commands that build networks need beside a trained file."""

from __future__ import annotations

import argparse

__all__ = ["add_base", "add_import", "import_named"]


def add_base(parser: argparse.ArgumentParser) -> None:
    """Add ``--backbone`` and ``--import``: what a trained file stands on, and does not hold."""
    parser.add_argument(
        "--backbone", metavar="NAME_OR_DIR", help="where the base is, if not where it was when the model was trained"
    )
    add_import(parser)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add the option to the parser of a command."""
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a Python module first, one with the adaptation that the model was trained with; again for more",
    )


def import_named(values: argparse.Namespace) -> None:
    """Import what the user named, if the command has the option.

    Raises:
        ModuleImportError: when a module cannot be imported.
    """
    modules = getattr(values, "modules", [])
    if modules:
        from monai_vlsm.adapters import import_modules

        import_modules(modules)
