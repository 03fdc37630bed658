# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``demo``: a page on this machine to try trained models."""

from __future__ import annotations

import argparse
import os
from getpass import getpass
from pathlib import Path

from monai_vlsm.commands.modules import add_import

__all__ = ["add"]

VARIABLE, _ASK = "MONAI_VLSM_DEMO_PASSWORD", "\n"  # no word of a command line that a person types


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser(
        "demo",
        help="a page on this machine to try trained models",
        description="Serve a page: drop an image, DICOM or NIfTI file, type prompts, look at the masks.",
    )
    parser.add_argument(
        "--adapters", type=Path, nargs="+", required=True, metavar="FILE", help="trained model.pt files of one base"
    )
    parser.add_argument("--backbone", metavar="FOLDER", help="where the base is, if not where the first file says")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: the GPU if there is one")
    parser.add_argument("--host", default="127.0.0.1", help="another address than this machine's needs --password")
    parser.add_argument("--port", type=int, default=7860, metavar="N", help="default: 7860; 0: any that is free")
    parser.add_argument(
        "--password",
        nargs="?",
        const=_ASK,
        metavar="TEXT",
        help="that the browser asks for, with the name demo; without TEXT it is asked for here, so that no list of "
        f"processes shows it; default: that of the environment variable {VARIABLE}",
    )
    add_import(parser)
    parser.set_defaults(run=_run)


def _run(values: argparse.Namespace) -> int:
    from monai_vlsm.demo.server import listen, serve

    password = _password(values.password)
    with listen(values.host, values.port, password) as place:  # before the models, which take a while
        from monai_vlsm.demo.models import Models

        serve(Models(values.adapters, values.backbone, values.device), place, password)
    return 0


def _password(given: str | None) -> str | None:
    if given != _ASK:
        return os.environ.get(VARIABLE) if given is None else given
    try:
        return getpass("password for the page: ")
    except EOFError:
        return ""
