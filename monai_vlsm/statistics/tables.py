# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of one tag as tables of text, for pages and cards."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from monai_vlsm.statistics import words
from monai_vlsm.statistics.columns import ALL
from monai_vlsm.statistics.comparison import Difference, PairedVolumeRow
from monai_vlsm.statistics.scores import PromptRow, ScoreRow
from monai_vlsm.statistics.volumes import VolumeRow
from monai_vlsm.statistics.words import count, number
from monai_vlsm.tables import Cell, Table

__all__ = ["difference_cells", "prompt_table", "score_table", "volume_names", "volume_table"]

NamesOf = Callable[[VolumeRow | PairedVolumeRow], list[str]]


def score_table(rows: Sequence[ScoreRow]) -> Table:
    """Means with intervals by dataset and style; the rows are of one tag."""
    patients = any(row.unit != "images" for row in rows)
    header = ("dataset", "style", *(["patients"] if patients else []), "images", "masks", "Dice", "IoU", "HD95")
    return Table(header, [_score_cells(row, patients) for row in rows])


def prompt_table(rows: Sequence[PromptRow]) -> Table:
    """Means with intervals by dataset and prompt; the rows are of one tag."""
    header = ("dataset", "prompt", "masks", "Dice", "IoU", "HD95")
    return Table(header, [(words.dataset_name(row.dataset), words.quoted(row.prompt), *_numbers(row)) for row in rows])


def difference_cells(found: Difference, digits: int = 3) -> tuple[Cell, ...]:
    """Both means, the difference, how many got better and worse, and p."""
    means = [Cell(words.decimals(mean, digits)) for mean in (found.first, found.other)]
    change = number(found.change, digits, sign=True)
    return (*means, change, count(found.better), count(found.worse), words.p_value(found.p))


def volume_table(rows: Sequence[VolumeRow]) -> Table:
    """Means with intervals of whole volumes by structure; the rows are of one tag."""
    patients = any(row.unit != "volumes" for row in rows)
    names, named = volume_names(rows)
    header = [*names, *(["patients"] if patients else []), "volumes", "true mask empty", "answered empty"]
    return Table(
        [*header, "Dice", "HD95 (mm)", "surface Dice"], [(*named(row), *_volume_cells(row, patients)) for row in rows]
    )


def volume_names(rows: Sequence[VolumeRow] | Sequence[PairedVolumeRow]) -> tuple[list[str], NamesOf]:
    """Columns that say what rows are about, the structure and what else differs, and the cells of a row in them."""
    shown = [kind for kind in ("dataset", "style", "plane") if len({getattr(row, kind) for row in rows}) > 1]

    def cells(row: VolumeRow | PairedVolumeRow) -> list[str]:
        told = {"dataset": words.dataset_name(row.dataset), "style": words.style_name(row.style), "plane": row.plane}
        return [words.structure_name(row.structure), *(told[kind] for kind in shown)]

    return ["structure", *shown], cells


def _volume_cells(row: VolumeRow, patients: bool) -> tuple[Cell, ...]:
    who = [count(row.units) if row.unit != "volumes" else Cell("unknown")] if patients else []
    scores = (number(row.dice), number(row.hd95, 1), number(row.surface_dice))
    of_one = row.structure != ALL  # what is counted of several structures is no number of volumes
    empty = [count(one) if of_one else Cell(words.MISSING) for one in (row.truth_empty, row.pred_empty)]
    return (*who, count(row.volumes), *empty, *scores)


def _score_cells(row: ScoreRow, patients: bool) -> tuple[str | Cell, ...]:
    who = [count(row.units) if row.unit != "images" else Cell("unknown")] if patients else []
    return (*words.group_names(row), *who, count(row.images), *_numbers(row))


def _numbers(row: ScoreRow | PromptRow) -> tuple[Cell, ...]:
    return (count(row.masks), number(row.dice), number(row.iou), number(row.hd95, 1))
