# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm push`` and ``pull``: adapters to and from the Hugging Face Hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_vlsm.commands.modules import add_import

__all__ = ["add"]

_TOKEN = "The Hub knows you by  hf auth login  or the variable HF_TOKEN; HF_ENDPOINT names another Hub."


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add both commands to a parser."""
    _add_push(subparsers)
    _add_pull(subparsers)


def _add_push(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "push",
        help="share adapters on the Hugging Face Hub, with a model card",
        description="Send a model.pt to the Hub, with a model card made from what is known, and an image. Only what "
        "was trained goes up, nothing of the base.",
        epilog=_TOKEN,
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a model.pt")
    parser.add_argument("repo_id", metavar="REPO_ID", help="OWNER/NAME on the Hub; made if it is not there")
    parser.add_argument(
        "--evaluation",
        type=Path,
        metavar="RUN_DIR",
        help="what an evaluation of FILE wrote; gives scores, prompts, image",
    )
    parser.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME",
        help="what it was trained on: a name from `data list`, an id on the Hub, or other words; can be repeated",
    )
    parser.add_argument("--license", metavar="ID", help="licence of the adapters, as the Hub spells it: apache-2.0")
    parser.add_argument("--data-license", metavar="TEXT", help="licence of the data that it was trained on")
    parser.add_argument("--no-overlay", action="store_true", help="share no overlay; it shows an image of the data")
    parser.add_argument("--private", action="store_true", help="let nobody else see it")
    parser.add_argument(
        "--preview", type=Path, metavar="DIR", help="send nothing; write to DIR what would be sent, to look at it"
    )
    add_import(parser)
    parser.set_defaults(run=_push)


def _add_pull(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "pull",
        help="fetch adapters from the Hugging Face Hub",
        description="Fetch model.pt and README.md, check the file without running anything in it, and say which base "
        "it needs.",
        epilog=_TOKEN,
    )
    parser.add_argument("repo_id", metavar="REPO_ID", help="OWNER/NAME on the Hub")
    parser.add_argument("--revision", metavar="R", help="branch, tag or commit; default: the newest")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="folder that gets the files")
    parser.add_argument("--overwrite", action="store_true", help="replace files of another content")
    add_import(parser)
    parser.set_defaults(run=_pull)


def _push(args: argparse.Namespace) -> int:
    from monai_vlsm.hub import push, write_upload

    told = {
        "datasets": args.dataset,
        "license": args.license,
        "data_license": args.data_license,
        "overlay": not args.no_overlay,
    }
    if args.preview is not None:
        paths = write_upload(args.file, args.repo_id, args.preview, args.evaluation, **told)
        print(f"nothing was sent; what would be is in {args.preview}: {', '.join(path.name for path in paths)}")
        return 0
    print(push(args.file, args.repo_id, args.evaluation, private=args.private, **told))
    return 0


def _pull(args: argparse.Namespace) -> int:
    from monai_vlsm.checkpoints import read_settings
    from monai_vlsm.hub import pull

    path = pull(args.repo_id, args.output, args.revision, overwrite=args.overwrite)
    settings = read_settings(path)
    print(f"needs the base {settings['backbone']}, fingerprint {settings['base']}")
    print(path)
    return 0
