# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``label``: make an app for MONAI Label and say how to start it."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser("label", help="an app for MONAI Label: your models for 3D Slicer, OHIF and CVAT")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the app")
    text = "a trained bundle to serve, under the name of its folder or NAME; again for more"
    parser.add_argument("--bundle", action="append", default=[], metavar="[NAME=]DIR", help=text)
    text = "a trained file on the base of such a bundle, served under its own name or NAME; again for more"
    parser.add_argument("--adapters", action="append", default=[], metavar="[NAME=]FILE", help=text)
    text = "put models in the place of those of the same name in an app that is there"
    parser.add_argument("--overwrite", action="store_true", help=text)
    parser.set_defaults(run=_run)


def _run(values: argparse.Namespace) -> int:
    from monai_vlsm.apps.label import install_app, start_command

    app = install_app(values.output, values.bundle, values.adapters, values.overwrite)
    print(f"{app} is ready. Names for prompts: {app / 'prompts.json'}. Start it, for this machine only:\n")
    print(f"  {start_command(app.resolve())}")
    return 0
