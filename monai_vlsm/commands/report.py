# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm report``: evaluations as a page for people."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser(
        "report",
        help="scores with intervals, wrong prompts, calibration, worst cases, runs compared: one page",
        description="Report on evaluations: scores with intervals for each kind of prompt, what wrong and absent "
        "prompts do, empty masks, calibration, worst and median cases, and each run against the first.",
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="a folder that an evaluation wrote, with metrics.csv"
    )
    text = "gets report.html, report.md and report.json; default: report"
    parser.add_argument("--output", type=Path, default=Path("report"), metavar="DIR", help=text)
    parser.add_argument("--title", metavar="TEXT", help="heading of the page")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from monai_vlsm.report import write_report

    page, text, numbers = write_report(args.runs, args.output, args.title)
    print(f"report: {page}, as text in {text.name}, numbers in {numbers.name}")
    return 0
