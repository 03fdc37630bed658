# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of several models at the sites as tables and as a file, each with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_vlsm.io import write_rows
from monai_vlsm.statistics import Run, compare, words
from monai_vlsm.statistics.columns import ALL
from monai_vlsm.statistics.comparison import PairedRow
from monai_vlsm.statistics.scores import ScoreRow, by_tag, score_rows
from monai_vlsm.statistics.tables import difference_cells
from monai_vlsm.tables import Cell, Table

__all__ = ["difference_table", "site_table", "write_scores"]

_SCORES = ("dice", "iou", "hd95")
_COLUMNS = (
    *("part", "tag", "site", "style", "model", "images", "masks"),
    *(f"{score}{end}" for score in _SCORES for end in ("", "_low", "_high")),
    *("against", "dice_difference", "dice_difference_low", "dice_difference_high", "better", "worse", "p"),
)


def site_table(runs: Sequence[Run]) -> Table:
    """Mean Dice of each model at each site and over all of them.

    Args:
        runs: of one part, as `monai_vlsm.federated.comparison.evaluate_at_sites` gives them for each model.
    """
    rows = [_by_place(run) for run in runs]
    header = ("prompts", "site", "style", "images", *(run.name for run in runs))
    lines: list[tuple[str | Cell, ...]] = []
    for place, first in rows[0].items():
        cells = [words.number(found[place].dice) if place in found else Cell(words.MISSING) for found in rows]
        lines.append((place[0], *_names(first), words.count(first.images), *cells))
    return Table(header, lines)


def difference_table(runs: Sequence[Run]) -> Table:
    """The first model minus each of the others in Dice, image by image."""
    header = ("prompts", "against", "site", "style", "images", "it", runs[0].name)
    lines: list[tuple[str | Cell, ...]] = [
        (tag, run.name, *_names(row), words.count(row.units), *difference_cells(row.dice))
        for run, tag, row in _differences(runs)
    ]
    return Table([*header, "difference", "better", "worse", "p"], lines)


def write_scores(path: Path, runs: Mapping[str, Sequence[Run]]) -> None:
    """Write all numbers as CSV.

    Args:
        path: the file.
        runs: part to the models, the first of which is compared with the others.

    Raises:
        WriteError: when it cannot be done.
    """
    write_rows(path, _COLUMNS, [row for part, found in runs.items() for row in _rows(part, found)])


def _rows(part: str, runs: Sequence[Run]) -> Iterator[dict[str, Any]]:
    changes = {(run.name, tag, row.dataset, row.style): row for run, tag, row in _differences(runs)}
    for run in runs:
        for (tag, dataset, style), row in _by_place(run).items():
            own: dict[str, Any] = {"part": part, "tag": tag, "site": dataset, "style": style, "model": run.name}
            own |= {"images": row.images, "masks": row.masks}
            for score in _SCORES:
                found = getattr(row, score)
                own |= {score: found.mean, f"{score}_low": found.low, f"{score}_high": found.high}
            change = changes.get((run.name, tag, dataset, style))
            own |= _change(runs[0].name, change) if change else {}
            yield {key: round(value, 6) if isinstance(value, float) else value for key, value in own.items()}


def _change(first: str, row: PairedRow) -> dict[str, Any]:
    found, change = row.dice, row.dice.change
    own = {"against": first, "dice_difference": change.mean, "dice_difference_low": change.low}
    return own | {"dice_difference_high": change.high, "better": found.better, "worse": found.worse, "p": found.p}


def _names(row: ScoreRow | PairedRow) -> tuple[str, str]:
    return ("all sites" if row.dataset == ALL else row.dataset, words.style_name(row.style))


def _by_place(run: Run) -> dict[tuple[str, str, str], ScoreRow]:
    """Tag, site and style to the scores there."""
    found = by_tag(run.scores, score_rows)
    return {(tag, row.dataset, row.style): row for tag, rows in found.items() for row in rows}


def _differences(runs: Sequence[Run]) -> Iterator[tuple[Run, str, PairedRow]]:
    for run in runs[1:]:
        for tag, rows in compare(run, runs[0]).by_tag.items():
            yield from ((run, tag, row) for row in rows)
