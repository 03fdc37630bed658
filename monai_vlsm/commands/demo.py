# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``demo``: a page on this machine to try trained models."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_vlsm.commands.modules import add_import

__all__ = ["add"]


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
    parser.add_argument("--password", metavar="TEXT", help="that the browser asks for; the name with it is demo")
    add_import(parser)
    parser.set_defaults(run=_run)


def _run(values: argparse.Namespace) -> int:
    from monai_vlsm.demo.server import listen, serve

    with listen(values.host, values.port, values.password) as place:  # before the models, which take a while
        from monai_vlsm.demo.models import Models

        serve(Models(values.adapters, values.backbone, values.device), place, values.password)
    return 0
