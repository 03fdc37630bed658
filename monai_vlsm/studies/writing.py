# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The tables of a study as files: a page, Markdown, CSV, LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.io import table_text
from monai_vlsm.outputs import Outputs
from monai_vlsm.report.blocks import Block, Details, Heading, Paragraph
from monai_vlsm.report.pages import render
from monai_vlsm.statistics import words
from monai_vlsm.statistics.bootstrap import RESAMPLES
from monai_vlsm.studies import tables
from monai_vlsm.studies.cells import Cell, Place, Prompts, cells_of, prompts_title
from monai_vlsm.studies.comparisons import SystemPair, compare_systems
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.latex import latex_table
from monai_vlsm.studies.search_tables import TRIAL_COLUMNS, search_sentence, search_table, trial_rows
from monai_vlsm.tables import Table

__all__ = ["FILES", "write_tables"]

FILES = ("table.html", "table.md", "table.tex", "cells.csv", "comparisons.csv")
TRIALS = "trials.csv"
FOOTER = "For research. Not for diagnosis or treatment."
Cells = Mapping[tuple[str, Place, Prompts], Cell]
_CELL_COLUMNS = (
    *("system", "trained", "fraction", "tested", "prompts", "score", "mean", "deviation", "low", "high", "seeds"),
    *("units", "paper", "difference", "source", "leaks", "same_images", "runs"),
)
_PAIR_COLUMNS = (
    *("table", "trained", "fraction", "tested", "system", "against", "seeds", "units", "change", "low", "high"),
    *("p", "p_holm"),
)
NOTES = (
    "Means over seeds, with the standard deviation between them, of means over the masks of the test images. Below "
    f"stands the 95{words.PERCENT} interval: bootstrap percentiles of {RESAMPLES:,} samples of seeds and, crossed with "
    "them, of images, or of patients where they are known. With three seeds it says little about other seeds.",
    "Only prompts that name the class count here; words from the mask would give parts of the answer away. The paper "
    "tested with a prompt of any style for each image, words from the mask among them: where that was done too, it is "
    "a column of its own, and the one to compare with the paper's values, which stand beside each mean with the "
    "difference to it.",
    f"{tables.LEAK} images or patients are in two of the training, validation and test lists, or the test list is one "
    "of the other two: no score on new data. "
    f"{tables.MIXED} the seeds were not tested on the same images. Empty: no result yet.",
)
PAIRS = (
    "Differences of Dice over the images or patients that both systems have, averaged over the seeds that both have, "
    f"with 95{words.PERCENT} intervals; p of Wilcoxon's signed-rank test, and the same corrected by Holm for all "
    "comparisons of the table."
)


def write_tables(folder: StudyFolder, output: Path) -> list[Path]:
    """Tables of all results that are there, whatever is missing.

    Args:
        folder: of the study.
        output: folder of the files; older tables in it are replaced, other files are not.

    Returns:
        The files: a page, Markdown, LaTeX, and CSV with all numbers; those of a search too, if there is one.

    Raises:
        ReportError: files of an evaluation cannot be read.
        NotOursError: a file that no study wrote has the name of one of them.
        WriteError: a file cannot be written.
    """
    outputs = Outputs(output, "study tables")
    cells = cells_of(folder)
    pairs = {title: _compared(folder, systems, cells) for title, systems in folder.study.tables.items()}
    blocks = list(_blocks(folder, cells, pairs))
    done = sum(folder.is_done(run) for run in folder.runs)
    lead = f"{done} of {counted(len(folder.runs), 'run')} done{_part(folder)}. {_budget(folder)}"
    title = f"Study: {folder.study.name}"
    pages = [render(template, title, lead, blocks, FOOTER) for template in ("page.html", "page.md")]
    latex = "\n".join(latex_table(title, table) for title, table in _score_tables(folder, cells))
    rows = [row for cell in cells for row in _cell_rows(folder, cell)]
    compared = [_pair_row(title, pair) for title, found in pairs.items() for pair in found]
    texts = [*pages, latex, table_text(_CELL_COLUMNS, rows), table_text(_PAIR_COLUMNS, compared)]
    files = dict(zip(FILES, texts, strict=True))
    if folder.choices:
        files[TRIALS] = table_text(TRIAL_COLUMNS, trial_rows(folder.root, folder.choices))
    outputs.require_free(files)
    for name, text in files.items():
        with outputs.writing(name) as path:
            path.write_bytes(text.encode())
    return [output / name for name in files]


def _part(folder: StudyFolder) -> str:
    left_out = folder.study.left_out
    return f", without the datasets {', '.join(left_out)}, which were left out" if left_out else ""


def _budget(folder: StudyFolder) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in folder.study.settings.items())
    text = f"All systems have the same seeds, data and budget ({settings or 'the defaults of the bundles'})."
    return text if folder.study.search is None else f"{text} {search_sentence(folder.study.search)}"


def _compared(folder: StudyFolder, systems: Sequence[str], cells: Sequence[Cell]) -> list[SystemPair]:
    main = tables.main_prompts(folder.study)
    return compare_systems([cell for cell in cells if cell.system in systems and cell.prompts == main])


def _score_tables(folder: StudyFolder, cells: Sequence[Cell]) -> Iterator[tuple[str, Table]]:
    by_place: Cells = {(cell.system, cell.place, cell.prompts): cell for cell in cells}
    for title, systems in folder.study.tables.items():
        yield title, tables.score_table(folder.study, systems, by_place)


def _blocks(folder: StudyFolder, cells: Sequence[Cell], pairs: Mapping[str, Sequence[SystemPair]]) -> Iterator[Block]:
    for title, table in _score_tables(folder, cells):
        yield Heading(title)
        yield table
        yield tables.cost_table(folder.study, folder.study.tables[title], cells)
        if pairs[title]:
            what = f"Which systems differ: {counted(len(pairs[title]), 'comparison')}"
            yield Details(what, tables.pairs_table(pairs[title]))
    if folder.study.search is not None:
        yield Heading("Search of settings")
        yield search_table(folder.study.search, folder.choices)
    yield Heading("How to read this")
    yield from (Paragraph(text) for text in (*NOTES, PAIRS))
    other = tables.other_rows(folder.study, cells)
    if other is not None:
        yield Heading("Other prompts")
        yield Paragraph("Compare them with nothing above: they may hold words from the mask or the patient's file.")
        yield other
    yield Heading("Where the numbers come from")
    for (system, place), cell in {(cell.system, cell.place): cell for cell in reversed(cells)}.items():
        yield Details(f"{system}: {tables.place_name(place)}", tables.runs_table(cell), tables.anchor(system, place))


def _cell_rows(folder: StudyFolder, cell: Cell) -> Iterator[dict[str, Any]]:
    known = tables.paper_value(folder.study, cell)
    leaks = ", ".join(f"{kind}: {number}" for kind, number in cell.leaks.items())
    for index, name in enumerate(("dice", "iou", "hd95")):
        estimate, scale = cell.estimates[index], tables.SCALES[index]
        mean, paper = _scaled(estimate.mean, scale), None if known is None else known.scores[index]
        difference = None if mean is None or paper is None else round(mean - paper, 4)
        yield {
            "system": cell.system,
            "trained": cell.place.trained,
            "fraction": cell.place.fraction,
            "tested": cell.place.tested,
            "prompts": prompts_title(cell.prompts),
            "score": name,
            "mean": mean,
            "deviation": _scaled(cell.deviations[index], scale),
            "low": _scaled(estimate.low, scale),
            "high": _scaled(estimate.high, scale),
            "seeds": " ".join(str(one.run.seed) for one in cell.scored),
            "units": len(cell.units),
            "paper": paper,
            "difference": difference,
            "source": known.source if known else "",
            "leaks": leaks,
            "same_images": not cell.is_mixed,
            "runs": " ".join(one.run.name for one in cell.scored),
        }


def _pair_row(title: str, pair: SystemPair) -> dict[str, Any]:
    change = pair.change
    return {
        "table": title,
        "trained": pair.place.trained,
        "fraction": pair.place.fraction,
        "tested": pair.place.tested,
        "system": pair.other,
        "against": pair.first,
        "seeds": pair.seeds,
        "units": pair.units,
        "change": _scaled(change.mean, 100),
        "low": _scaled(change.low, 100),
        "high": _scaled(change.high, 100),
        "p": pair.p,
        "p_holm": pair.corrected,
    }


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else round(scale * value, 4)
