# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From folders of evaluations to the three files of a report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from monai_vlsm.io import json_text
from monai_vlsm.outputs import Outputs
from monai_vlsm.report.blocks import Block, Paragraph
from monai_vlsm.report.overview import overview_blocks
from monai_vlsm.report.pages import TEMPLATES, render
from monai_vlsm.report.sections import run_blocks
from monai_vlsm.statistics.columns import clean
from monai_vlsm.statistics.reading import read_runs
from monai_vlsm.statistics.results import measure, plain

__all__ = ["FILES", "write_report"]

FILES = ("report.html", "report.md", "report.json")
TITLE = "Segmentation by text: evaluation"
FOOTER = "For research. Not for diagnosis or treatment."


def write_report(
    folders: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str] = "report", title: str | None = None
) -> list[Path]:
    """Report on one or several evaluations; the first is what the others are compared with.

    The same folders give the same bytes.

    Args:
        folders: what evaluations wrote, at least one.
        output: folder of the three files, made if needed; older reports in it are replaced, other files are not.
        title: heading of the page.

    Returns:
        The files that were written: HTML, Markdown, JSON.

    Raises:
        NotOursError: a file that no report wrote has the name of one of them.
        MixedFilesError: a folder with files of several evaluations.
        ReportError: a folder that no evaluation wrote, or a file that cannot be read.
        ValueError: no folder.
        WriteError: a file cannot be written.
    """
    if not folders:
        raise ValueError("a report needs at least one folder of an evaluation")
    runs = read_runs([Path(folder) for folder in folders])
    results = measure(runs)
    heading, made_by = clean(title or TITLE), _version()
    blocks = _without_repetition([*overview_blocks(results), *(b for run in results.runs for b in run_blocks(run))])
    lead = f"{'Runs' if len(runs) > 1 else 'Run'}: {', '.join(run.name for run in runs)}."
    pages = [render(template, heading, lead, blocks, FOOTER) for template in TEMPLATES]
    return _write(Path(output), [*pages, json_text(plain(results, heading, made_by), indent=1)])


def _without_repetition(blocks: Sequence[Block]) -> list[Block]:
    """Explanations that stand already above are left out."""
    small = [(block, isinstance(block, Paragraph) and block.small) for block in blocks]
    return [block for place, (block, once) in enumerate(small) if not (once and block in blocks[:place])]


def _version() -> str:
    try:
        return version("monai_vlsm")
    except PackageNotFoundError:
        return "not installed"


def _write(folder: Path, texts: Sequence[str]) -> list[Path]:
    outputs = Outputs(folder, "report")
    outputs.require_free(FILES)
    for name, text in zip(FILES, texts, strict=True):
        with outputs.writing(name) as path:
            path.write_bytes(text.encode())
    return [folder / name for name in FILES]
