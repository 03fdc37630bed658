# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a search was and what it gave, for the terminal, for pages and as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.statistics import words
from monai_vlsm.studies.choices import Choice
from monai_vlsm.studies.run_files import run_folder
from monai_vlsm.studies.study import Range, Search
from monai_vlsm.tables import Cell, Table, text_table

__all__ = ["TRIAL_COLUMNS", "choice_lines", "search_sentence", "search_table", "trial_rows"]

TRIAL_COLUMNS = ("system", "dataset", "trial", "setting", "value", "validation_dice", "failed", "chosen", "folder")


def search_sentence(search: Search) -> str:
    """How the settings of the runs were found."""
    tried = "; ".join(f"{name}: {_range(one)}" for name, one in search.settings.items())
    return (
        f"Before, each system had {counted(search.trials, 'trial')} on each dataset, with the same values ({tried}), "
        f"seed {search.seed}. The runs have the values with the best Dice on the validation images; no trial saw a "
        "test image."
    )


def _range(tried: Range | Sequence[Any]) -> str:
    if not isinstance(tried, Range):
        return ", ".join(map(str, tried))
    return f"{tried.low:g} to {tried.high:g}" + (", logarithmic" if tried.log else "")


def search_table(search: Search, choices: Sequence[Choice]) -> Table:
    """Each system on each dataset: trials, what was chosen, and the score that it was chosen for."""
    header = ["dataset", "system", "trials", "failed", *search.settings, "validation Dice, %"]
    return Table(header, [_row(search, one) for one in choices])


def _row(search: Search, choice: Choice) -> list[str | Cell]:
    best, failed = choice.best, sum(trial.failed for trial in choice.trials)
    counts = [Cell(f"{choice.over} of {choice.wanted}"), Cell(str(failed))]
    chosen = [Cell(str(best.values[name]) if best else "") for name in search.settings]
    score = words.decimals(100 * best.score, 2) if best and best.score is not None else ""
    return [choice.dataset, choice.system, *counts, *chosen, Cell(score)]


def choice_lines(search: Search, choices: Sequence[Choice]) -> list[str]:
    """The same for the terminal."""
    table = search_table(search, choices)
    return text_table(table.header, table.rows).splitlines()


def trial_rows(root: Path, choices: Sequence[Choice]) -> Iterator[dict[str, Any]]:
    """Each setting of each trial."""
    for choice in choices:
        for number, trial in enumerate(choice.trials, 1):
            for name, value in trial.values.items():
                yield {
                    "system": choice.system,
                    "dataset": choice.dataset,
                    "trial": number,
                    "setting": name,
                    "value": value,
                    "validation_dice": None if trial.score is None else round(100 * trial.score, 4),
                    "failed": trial.failed,
                    "chosen": trial is choice.best,
                    "folder": run_folder(root, trial.run).relative_to(root).as_posix(),
                }
