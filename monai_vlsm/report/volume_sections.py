# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whole volumes, told: how well each structure was found, and what changed from one run to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from monai_vlsm.prompts import CLASS
from monai_vlsm.report.blocks import Block, Figures, Heading, Paragraph, Plot
from monai_vlsm.report.plots import ForestRow, forest
from monai_vlsm.statistics import words
from monai_vlsm.statistics.comparison import Comparison, PairedVolumeRow, VolumeComparison
from monai_vlsm.statistics.results import RunResults
from monai_vlsm.statistics.tables import difference_cells, volume_names, volume_table
from monai_vlsm.statistics.volumes import VolumeRow
from monai_vlsm.statistics.words import count, number
from monai_vlsm.tables import Cell, Table

__all__ = ["left_out", "paired_volume_blocks", "volume_blocks", "volume_overview"]


def volume_overview(runs: Sequence[RunResults]) -> Iterator[Block]:
    """A table of all runs that have volumes, scored with class prompts; nothing without any."""
    found = [(run.name, row) for run in runs for row in _totals(run.volumes.get(CLASS, ()))]
    if found:
        yield Paragraph("Whole volumes, means of the structures, class prompts:")
        header = ("run", "dataset", "style", "plane", "volumes", "Dice", "HD95 (mm)", "surface Dice")
        yield Table(header, [(name, *_row_cells(row)) for name, row in found])


def _totals(rows: Sequence[VolumeRow]) -> list[VolumeRow]:
    """The mean of the structures of each dataset, style and plane; of a lone structure its own."""
    last = {(row.dataset, row.style, row.plane): row for row in rows}
    return list(last.values())


def _row_cells(row: VolumeRow) -> tuple[str | Cell, ...]:
    names = (*words.group_names(row), row.plane, count(row.volumes))
    return (*names, number(row.dice), number(row.hd95, 1), number(row.surface_dice))


def volume_blocks(run: RunResults) -> Iterator[Block]:
    """The section of one run; nothing where no volumes were evaluated."""
    for place, (tag, rows) in enumerate(run.volumes.items()):
        if not place:
            yield Heading("Whole volumes", 3)
            tolerances = (row.tolerance for found in run.volumes.values() for row in found)
            yield Paragraph(f"{words.VOLUME_RULE} {words.surface_rule(tolerances)}", small=True)
        yield Heading(words.TAG_TITLE[tag], 4)
        yield Paragraph(f"{_asked(rows)} {words.TAG_MEANING[tag]}")
        yield volume_table(rows)
        yield Paragraph(words.VOLUME_INTERVALS, small=True)
        if any(row.units < words.FEW for row in rows):
            yield Paragraph(words.FEW_TEXT, small=True)
        lines = [ForestRow(_label(row, rows), row.dice) for row in rows]
        yield Figures([Plot(forest(lines, "Dice", (0, 1)), "Dice of each line of the table above.")])


def _asked(rows: Sequence[VolumeRow]) -> str:
    """What all rows have in common, as far as the table does not say it."""
    styles, planes = ({getattr(row, kind) for row in rows} for kind in ("style", "plane"))
    style = f"prompts of style {words.style_name(styles.pop())}" if len(styles) == 1 else ""
    plane = f"{planes.pop()} slices" if len(planes) == 1 else ""
    told = ", ".join(filter(None, (plane, style)))
    return f"{told[:1].upper()}{told[1:]}." if told else ""


def _label(row: VolumeRow | PairedVolumeRow, rows: Sequence[VolumeRow] | Sequence[PairedVolumeRow]) -> str:
    """Of a line of a plot."""
    return words.short(", ".join(volume_names(rows)[1](row)), 30)


def paired_volume_blocks(comparison: Comparison) -> Iterator[Block]:
    """Whole volumes of a run beside those of the first; nothing where one of them has none."""
    found = comparison.volumes
    if found is None:
        return
    yield Paragraph(f"Whole volumes: {_pairing(comparison, found)}")
    for tag, rows in found.by_tag.items():
        yield Heading(f"Whole volumes: {words.TAG_TITLE[tag].lower()}", 4)
        yield _paired_table(comparison, rows)
        lines = [ForestRow(_label(row, rows), row.dice.change) for row in rows]
        text = f"Difference in Dice of whole volumes; to the right of the dashed line, {comparison.other} is better."
        yield Figures([Plot(forest(lines, "difference in Dice", zero=True), text)])


def left_out(comparison: Comparison, found: Comparison | VolumeComparison) -> str:
    """What has no counterpart in the other run, or another one; empty if nothing."""
    left = [
        f"{found.only_first:,} only in {comparison.first}" if found.only_first else "",
        f"{found.only_other:,} only in {comparison.other}" if found.only_other else "",
        f"{found.other_truth:,} with another true mask" if found.other_truth else "",
    ]
    return "; ".join(filter(None, left))


def _pairing(comparison: Comparison, found: VolumeComparison) -> str:
    told = left_out(comparison, found) or "none"
    return f"{words.plural(found.pairs, 'structure')} of volumes paired; left out: {told}."


def _paired_table(comparison: Comparison, rows: Sequence[PairedVolumeRow]) -> Table:
    names, named = volume_names(rows)
    who = "volumes" if all(row.unit == "volumes" for row in rows) else "patients"
    header = [*names, "score", who, comparison.first, comparison.other, "difference", "better", "worse", "p"]
    lines: list[tuple[str | Cell, ...]] = []
    for row in rows:
        scores = {"Dice": difference_cells(row.dice), "HD95 (mm)": difference_cells(row.hd95, 1)}
        scores |= {"surface Dice": difference_cells(row.surface_dice)}
        lines += [(*named(row), score, count(row.units), *cells) for score, cells in scores.items()]
    return Table(header, lines)
