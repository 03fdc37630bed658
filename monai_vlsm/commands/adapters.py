# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm adapters``: which model files there are, what they say, and whether they work."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_vlsm.commands.modules import add_import

if TYPE_CHECKING:
    from monai_vlsm.checkpoints import ModelFacts

__all__ = ["add", "facts_text", "models_text"]

COLUMNS = (
    "name",
    "network",
    "backbone",
    "adaptation",
    "parameters",
    "size",
    "base",
    "default prompt",
    "threshold",
)
_PROMPT_WIDTH = 40


def add(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the group ``adapters`` with its commands."""
    parser = subparsers.add_parser("adapters", help="trained models: list a folder, show one, check that it fits")
    group = parser.add_subparsers(dest="adapters_command", required=True, metavar="COMMAND")
    _add_list(group)
    _add_info(group)
    _add_check(group)


def _add_list(group: Any) -> None:
    parser = group.add_parser("list", help="all model files in a folder and below it")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.set_defaults(run=_list)


def _add_info(group: Any) -> None:
    parser = group.add_parser("info", help="all that a model file says of itself")
    parser.add_argument("file", metavar="FILE", type=Path, help="a model.pt")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=_info)


def _add_check(group: Any) -> None:
    parser = group.add_parser(
        "check",
        help="load a model file on its base and run it once",
        description="Load a model file on its base and run it once, on a blank image.",
        epilog="exit status: 0 it fits, 1 it does not, and why",
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a model.pt")
    parser.add_argument("--backbone", metavar="NAME_OR_DIR", help="the base; default: the one that the file names")
    add_import(parser)
    parser.set_defaults(run=_check)


def models_text(models: list[ModelFacts], folder: Path) -> str:
    """A table for the terminal, one line a model; names are paths below ``folder``."""
    from monai_vlsm.tables import text_table

    return text_table(COLUMNS, [_row(facts, folder) for facts in models])


def _row(facts: ModelFacts, folder: Path) -> tuple[str, ...]:
    file, told = Path(facts.file), facts.settings
    return (
        str(file.relative_to(folder)) if file != folder else str(file),
        told["network"],
        told["backbone"],
        facts.adaptation_text,
        f"{facts.parameters:,}",
        f"{facts.size / 1e6:,.1f} MB",
        told["base"][:12] or "all trained",
        _short(told["default_prompt"]),
        f"{told.get('existence_threshold', 0):g}",
    )


def _short(prompt: str) -> str:
    text = repr(prompt)  # shows an empty prompt, and a line break within one
    return text if len(text) <= _PROMPT_WIDTH else f"{text[:_PROMPT_WIDTH]}..."


def facts_text(facts: ModelFacts) -> str:
    """All facts of a model, one line each."""
    told = dict(facts.settings)
    lines = {
        "file": f"{facts.file} ({facts.size:,} bytes)",
        "network": told.pop("network"),
        "backbone": told.pop("backbone"),
        "base": told.pop("base") or "none: everything was trained",
        "adaptation": facts.adaptation_text,
        "parameters": f"{facts.parameters:,}",
        "image size": f"{told.pop('image_size')} px",
        "default prompt": repr(told.pop("default_prompt")),
        "threshold": f"{told.pop('existence_threshold', 0):g}",
        **{name.replace("_", " "): repr(told[name]) for name in told if name not in ("adaptation", "format")},
    }
    return "\n".join(f"{name + ':':<16}{value}" for name, value in lines.items())


def _list(args: argparse.Namespace) -> int:
    from monai_vlsm.checkpoints import find_models

    models, others = find_models(args.folder)
    print(models_text(models, args.folder) if models else f"no model files in {args.folder}")
    if others:
        print(f"\nno model files ('adapters info FILE' says why): {', '.join(map(str, others))}")
    return 0


def _info(args: argparse.Namespace) -> int:
    from monai_vlsm.checkpoints import describe

    facts = describe(args.file)
    told = {"file": facts.file, **facts.settings, "parameters": facts.parameters, "size": facts.size}
    print(json.dumps(told, indent=1, ensure_ascii=False) if args.json else facts_text(facts))
    return 0


def _check(args: argparse.Namespace) -> int:
    from monai_vlsm.serving import check_model

    print(f"{args.file} fits {check_model(args.file, args.backbone).backbone}")
    return 0
