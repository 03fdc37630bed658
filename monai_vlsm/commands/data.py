# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm data``: list, show, prepare and check datasets."""

from __future__ import annotations

import argparse
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_vlsm.commands.data_prompts import add as add_prompts
from monai_vlsm.commands.shipped import finding_rules, shipped
from monai_vlsm.errors import UserError, plain_message
from monai_vlsm.io import require_writable, write_json

if TYPE_CHECKING:
    from monai_vlsm.data.catalogue import DatasetCard

__all__ = ["add", "card_text", "catalogue_table"]

WIDTH = 100
STATUS_RULE = "exit status: 0 sound (there may be notes), 1 warnings, 2 errors"
COLUMNS = ("name", "title", "modality", "train", "val", "test", "images from")


def add(subparsers: argparse._SubParsersAction) -> None:  # type: ignore[type-arg]
    """Add the group ``data`` with its commands."""
    parser = subparsers.add_parser("data", help="datasets: catalogue, preparation, check, prompts")
    group = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    _add_list(group)
    _add_show(group)
    _add_prepare(group)
    _add_check(group)
    add_prompts(group)


def _add_list(group: Any) -> None:
    parser = group.add_parser("list", help="the datasets of the catalogue")
    parser.add_argument("--markdown", action="store_true", help="as a Markdown table, as in docs/datasets.md")
    parser.set_defaults(run=_list)


def _add_show(group: Any) -> None:
    parser = group.add_parser("show", help="all that is known of one dataset")
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(shipped('data/cards'))}")
    parser.set_defaults(run=_show)


def _add_prepare(group: Any) -> None:
    parser = group.add_parser(
        "prepare",
        help="bring the download of a dataset into the official layout",
        description="Make OUTPUT/NAME/{images,masks,anns} from a download and the official lists. Can be stopped and "
        "started again. Never writes over a file that differs.",
        epilog="exit status: 0 all that the lists name is there, 1 something is missing, faulty or differs",
    )
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(shipped('data/cards'))}")
    parser.add_argument("--source", required=True, type=Path, help="the download: a folder, or a .zip file")
    parser.add_argument("--annotations", required=True, type=Path, help="folder with the official lists")
    parser.add_argument("--output", required=True, type=Path, help="folder that gets the folder of the dataset")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report here too")
    parser.set_defaults(run=_prepare)


def _add_check(group: Any) -> None:
    parser = group.add_parser(
        "check",
        help="look for broken files, odd masks, and images or patients that are in two splits",
        description=f"Decode every file of train, val and test once. What is looked for:\n\n{finding_rules()}",
        epilog=STATUS_RULE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="a dataset, see docs/data.md for the layouts")
    parser.add_argument("--dataset", metavar="NAME", help="which one, if DIR holds several; or which one DIR should be")
    parser.add_argument("--channel", metavar="NAME", help="which channel, where images have several")
    parser.add_argument(
        "--against", metavar="DIR", type=Path, help="a dataset of images that was trained on: find its copies"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found")
    parser.set_defaults(run=_check)


def catalogue_table(markdown: bool = False) -> str:
    """The catalogue as a table for the terminal or for Markdown."""
    from monai_vlsm.data.catalogue import dataset_card, known_datasets
    from monai_vlsm.tables import markdown_table, text_table

    cards = [dataset_card(name) for name in known_datasets()]
    rows = [(c.name, c.title, c.modality, *c.splits.values(), c.images_from) for c in cards]
    return (markdown_table if markdown else text_table)(COLUMNS, rows)


def card_text(card: DatasetCard) -> str:
    """A card, one wrapped paragraph for each field."""
    fields = {
        "modality": card.modality,
        "targets": ", ".join(card.targets),
        "records": ", ".join(f"{split} {count}" for split, count in card.splits.items()),
        "prompts": f"styles p0 to p{card.styles - 1}",
        "images from": card.images_from,
        "lists from": card.prompts_from,
        "download": card.archive,
        "licence": card.licence,
        "conditions": card.conditions,
        "cite": card.citation,
    }
    known = [_paragraph(f"{name + ':':<13}", text) for name, text in fields.items()]
    defects = [_paragraph("- ", defect) for defect in card.defects]
    return "\n".join([f"{card.name}: {card.title}", "", *known, "", "known defects:", *defects])


def _paragraph(start: str, text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _list(args: argparse.Namespace) -> int:
    print(catalogue_table(args.markdown))
    return 0


def _show(args: argparse.Namespace) -> int:
    from monai_vlsm.data.catalogue import dataset_card

    print(card_text(dataset_card(args.name)))
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from monai_vlsm.data.prepare import prepare_dataset, report_json, report_text

    _require_file(args.json)
    report = prepare_dataset(args.name, args.source, args.annotations, args.output)
    print(report_text(report))
    _save(args.json, report_json(report))
    return report.status


def _check(args: argparse.Namespace) -> int:
    from monai_vlsm.data.audit import audit_dataset
    from monai_vlsm.data.audit_table import audit_json, audit_text, cases_text
    from monai_vlsm.data.datalist import DataLists
    from monai_vlsm.data.lists.audit import audit_cases

    try:
        _require_file(args.json)
        cases = DataLists(args.folder, args.dataset, channel=args.channel).cases if _has_cases(args) else None
        if cases is not None:
            if args.against is not None:
                raise UserError(f"--against takes datasets of single images, and {args.folder} has volumes or cases")
            found = audit_cases(cases)
            text, content, status = cases_text(found), found.json(), found.status
        else:
            audit = audit_dataset(args.folder, args.dataset, args.against)
            text, content, status = audit_text(audit), audit_json(audit), audit.status
    except Exception as error:
        message = plain_message(error)
        if message is None:
            raise
        print(f"error: {message}", file=sys.stderr)
        return 2  # 1 would say that the dataset can be used
    print(text)
    _save(args.json, content)
    return status


def _has_cases(args: argparse.Namespace) -> bool:
    """Whether a folder has a list of cases; ``--dataset`` may also be what a single dataset should be."""
    from monai_vlsm.data.sources import DatasetFolderError, find_cases

    try:
        return find_cases(args.folder, args.dataset) is not None
    except DatasetFolderError:  # told by the audit of lists of images
        return False


def _require_file(file: Path | None) -> None:
    """Refuse a file for the report that cannot be written, before the work."""
    if file is None:
        return
    if file.is_dir():
        raise UserError(f"--json must be a file, got the folder {file}")
    require_writable(file.parent)


def _save(file: Path | None, content: dict[str, Any]) -> None:
    if file is not None:
        write_json(file, content, indent=1)
        print(f"all of it: {file}")
