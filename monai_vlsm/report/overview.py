# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The first page: all runs in one table, and each beside the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monai_vlsm.report.blocks import Block, Figures, Heading, Paragraph, Plot
from monai_vlsm.report.plots import ForestRow, forest
from monai_vlsm.report.volume_sections import left_out, paired_volume_blocks, volume_overview
from monai_vlsm.statistics import words
from monai_vlsm.statistics.bootstrap import FEWEST
from monai_vlsm.statistics.comparison import Comparison, PairedRow
from monai_vlsm.statistics.probes import AbsentRow, OtherRow
from monai_vlsm.statistics.results import Results, RunResults
from monai_vlsm.statistics.scores import plain_rows
from monai_vlsm.statistics.tables import difference_cells
from monai_vlsm.statistics.words import count, number
from monai_vlsm.tables import Cell, Table

__all__ = ["overview_blocks"]

P_TEXT = (
    "p: two-sided, Wilcoxon's signed-rank test over images, or patients where they are known; not corrected for the "
    f"number of lines. Better and worse count them as well. With fewer than {FEWEST} of them there is no test."
)


def overview_blocks(results: Results) -> Iterator[Block]:
    """The chapters before those of the runs."""
    yield Heading("At a glance")
    header = (
        "run",
        "dataset",
        "style",
        "images",
        "Dice, class prompts",
        "asked for another structure",
        "asked for something absent",
    )
    yield Table(header, [line for run in results.runs for line in _rows(run)])
    yield Paragraph(
        "Class prompts only: those that anyone can write without having seen the mask. Scores of prompts that give "
        "away more stand below, in tables of their own.",
        small=True,
    )
    yield from volume_overview(results.runs)
    if results.comparisons:
        yield Heading("Runs compared")
        yield from _comparisons(results.comparisons)


def _rows(run: RunResults) -> Iterator[tuple[str | Cell, ...]]:
    rows = plain_rows(run.scores)
    others = {row.dataset: _verdict(row) for row in plain_rows(run.others)}
    absents = {row.dataset: _verdict(row) for row in plain_rows(run.absents)}
    if not rows:
        yield (run.name, "no class prompts", words.MISSING, Cell("0"), Cell(words.MISSING), "not tested", "not tested")
    for row in rows:
        verdicts = [found.get(row.dataset, "not tested") for found in (others, absents)]
        yield (run.name, *words.group_names(row), count(row.images), number(row.dice), *verdicts)


def _verdict(row: OtherRow | AbsentRow) -> str:
    return f"{row.verdict} ({words.plural(row.probes, 'probe')})"


def _comparisons(comparisons: Sequence[Comparison]) -> Iterator[Block]:
    yield Paragraph(
        "Only masks that both runs have are compared: the same image, structure, style and prompt. Runs on other "
        "images cannot be compared at all."
    )
    for comparison in comparisons:
        yield Heading(f"{comparison.other} against {comparison.first}", 3)
        yield Paragraph(_pairing(comparison))
        for tag, rows in comparison.by_tag.items():
            yield Heading(words.TAG_TITLE[tag], 4)
            yield _paired_table(comparison, rows)
            labels = words.plot_labels([(row.dataset, row.style) for row in rows])
            lines = [ForestRow(label, row.dice.change) for label, row in zip(labels, rows, strict=True)]
            text = f"Difference in Dice; to the right of the dashed line, {comparison.other} is better."
            yield Figures([Plot(forest(lines, "difference in Dice", zero=True), text)])
        yield from paired_volume_blocks(comparison)
    if any(comparison.pairs for comparison in comparisons):
        yield Paragraph(P_TEXT, small=True)


def _pairing(found: Comparison) -> str:
    told = left_out(found, found)
    rest = f" Left out: {told}." if told else " None was left out."
    if not found.pairs:
        return f"No mask is in both runs, so they cannot be compared.{rest}"
    pairs = words.plural(found.pairs, "mask")
    return f"{pairs} of {words.plural(found.images, 'image')} paired.{rest}"


def _paired_table(comparison: Comparison, rows: Sequence[PairedRow]) -> Table:
    who = "images" if all(row.unit == "images" for row in rows) else "patients"
    header = ["dataset", "style", "score", who, comparison.first, comparison.other, "difference"]
    return Table([*header, "better", "worse", "p"], [line for row in rows for line in _paired_lines(row)])


def _paired_lines(row: PairedRow) -> list[tuple[str | Cell, ...]]:
    scores = {
        "Dice": difference_cells(row.dice),
        "IoU": difference_cells(row.iou),
        "HD95": difference_cells(row.hd95, 1),
    }
    return [(*words.group_names(row), score, count(row.units), *cells) for score, cells in scores.items()]
