# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of one tag as tables of text, for pages and cards."""

from __future__ import annotations

from collections.abc import Sequence

from monai_vlsm.statistics import words
from monai_vlsm.statistics.scores import PromptRow, ScoreRow
from monai_vlsm.statistics.words import count, number
from monai_vlsm.tables import Cell, Table

__all__ = ["prompt_table", "score_table"]


def score_table(rows: Sequence[ScoreRow]) -> Table:
    """Means with intervals by dataset and style; the rows are of one tag."""
    patients = any(row.unit != "images" for row in rows)
    header = ("dataset", "style", *(["patients"] if patients else []), "images", "masks", "Dice", "IoU", "HD95")
    return Table(header, [_score_cells(row, patients) for row in rows])


def prompt_table(rows: Sequence[PromptRow]) -> Table:
    """Means with intervals by dataset and prompt; the rows are of one tag."""
    header = ("dataset", "prompt", "masks", "Dice", "IoU", "HD95")
    return Table(header, [(words.dataset_name(row.dataset), words.quoted(row.prompt), *_numbers(row)) for row in rows])


def _score_cells(row: ScoreRow, patients: bool) -> tuple[str | Cell, ...]:
    who = [count(row.units) if row.unit != "images" else Cell("unknown")] if patients else []
    names = (words.dataset_name(row.dataset), words.style_name(row.style))
    return (*names, *who, count(row.images), *_numbers(row))


def _numbers(row: ScoreRow | PromptRow) -> tuple[Cell, ...]:
    return (count(row.masks), number(row.dice), number(row.iou), number(row.hd95, 1))
