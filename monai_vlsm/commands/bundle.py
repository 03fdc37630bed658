# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm bundle NAME --output DIR``: a bundle to run and to change, without the checkout."""

from __future__ import annotations

import argparse

from monai_vlsm.bundle_files import bundle_names, copy_bundle

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    names = ", ".join(bundle_names())
    parser = subparsers.add_parser(
        "bundle", help="copy a bundle out of the package", description=f"Copy a bundle: {names}."
    )
    parser.add_argument("name", metavar="NAME", help=f"one of {names}")
    parser.add_argument("--output", metavar="DIR", default=".", help="folder that gets it (default: this one)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    folder = copy_bundle(args.name, args.output)
    print(f"{folder}; train it on the embedded sample with:")
    print(f"  python -m monai.bundle run --config_file {folder / 'configs' / 'train.json'}")
    return 0
