# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm data prompts DIR``: lists with prompts for one's own images and masks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from monai_vlsm.commands.shipped import shipped
from monai_vlsm.names import user_path

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser ``prompts`` to the group ``data``."""
    parser = subparsers.add_parser(
        "prompts",
        help="make lists with prompts for your own images and masks, or prompts for the classes of label maps",
        description="Read images and masks of a folder, describe each mask in words, and write train.json, val.json "
        "and test.json beside them, with prompts in the styles p0 to p9 and a tag for what each style gives away. "
        "Beside a list of the Decathlon, Auto3DSeg or nnU-Net, write labels.json with prompts for each class.",
    )
    parser.add_argument(
        "folder",
        metavar="DIR",
        type=Path,
        help="folder with images/ and masks/, or with images and NAME_mask beside each; or with a list of cases",
    )
    names = ", ".join(shipped("prompts/recipes"))
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--class", dest="word", metavar="TEXT", help="what the masks show, such as polyp")
    words.add_argument("--recipe", metavar="YAML", help=f"class words and settings; or one of {names}")
    parser.add_argument("--vqa", metavar="MODEL", help="ask this image-text-to-text model for shape and colour instead")
    parser.add_argument("--overwrite", action="store_true", help="replace lists that differ")
    parser.set_defaults(run=_run, parser=parser)


def _run(args: argparse.Namespace) -> int:
    from monai_vlsm.data.lists.reading import find_list
    from monai_vlsm.prompts import class_recipe, load_recipe

    found = find_list(user_path(args.folder))
    if not (args.word or args.recipe or found):
        why = _why_no_list(user_path(args.folder))
        args.parser.error(f"one of the arguments --class --recipe is required: {why}")
    recipe = load_recipe(args.recipe) if args.recipe else class_recipe(args.word) if args.word else None
    for line in _lines(args, recipe, found):
        print(line)
    return 0


def _why_no_list(folder: Path) -> str:
    from monai_vlsm.commands.map_hint import map_hint
    from monai_vlsm.data.lists.lacking import what_is_lacking

    hint = what_is_lacking(folder) or map_hint(folder)
    return f"{folder} has no list of cases{'; ' if hint else ''}{hint}"


def _lines(args: argparse.Namespace, recipe: Any, found: Any) -> list[str]:
    from monai_vlsm.data.problems import DatasetProblems
    from monai_vlsm.errors import UserError

    if found is None:
        from monai_vlsm.commands.prompt_lists import make_prompts
        from monai_vlsm.prompts import load_answerer

        try:
            return make_prompts(args.folder, recipe, load_answerer(args.vqa) if args.vqa else None, args.overwrite)
        except DatasetProblems as error:  # of thousands of masks often all have the same
            raise DatasetProblems(error.problems, grouped=True) from error
    if args.vqa:
        raise UserError(f"--vqa describes masks, and {found.file} has label maps, whose classes have names")
    from monai_vlsm.commands.label_prompts import make_label_prompts

    return make_label_prompts(found, recipe, args.overwrite)
