# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``--import``: modules with adaptations of one's own, for the commands that build networks."""

from __future__ import annotations

import argparse

__all__ = ["add_import", "import_named"]


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
