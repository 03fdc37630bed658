# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From results to the numbers of a table: one cell for each system, dataset, share of data and kind of prompts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from monai_vlsm.errors import UserError
from monai_vlsm.statistics.bootstrap import Estimate
from monai_vlsm.statistics.columns import Columns
from monai_vlsm.statistics.crossed import crossed_estimates, unit_totals
from monai_vlsm.statistics.reading import METRICS, read_run
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.leaks import own_list
from monai_vlsm.studies.plan import Run
from monai_vlsm.studies.run_files import RESULT
from monai_vlsm.studies.study import RANDOM

__all__ = ["PAPER", "Cell", "Place", "Prompts", "Scored", "cells_of", "prompts_title"]


@dataclass(frozen=True, order=True)
class Prompts:
    """What was asked: a style, and what its prompts give away.

    Args:
        style: of the prompts.
        tag: one of `monai_vlsm.prompts.TAGS`; empty for all tags together, as in the paper's way to test.
    """

    style: str
    tag: str


PAPER = Prompts(RANDOM, "")
"""A prompt of any style for each image; words from the mask among them."""


@dataclass(frozen=True, order=True)
class Place:
    """A row of a table.

    Args:
        trained: dataset of the training.
        tested: dataset of the evaluation.
        fraction: share of the training data.
    """

    trained: str
    tested: str
    fraction: float


@dataclass(frozen=True)
class Scored:
    """The scores of one run with one kind of prompts.

    Args:
        run: that gave them.
        result: what its file says.
        evaluation: the part of that which is of this dataset.
        values: Dice, IoU and HD95, (N, 3).
        units: image or patient of each row, (N,).
        own_list: what `monai_vlsm.studies.leaks.own_list` says of the evaluation.
    """

    run: Run
    result: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    values: np.ndarray
    units: np.ndarray
    own_list: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """All seeds of one system in one place.

    Args:
        system: its name.
        place: row of the table.
        prompts: what was asked.
        scored: of each seed that is there.
    """

    system: str
    place: Place
    prompts: Prompts
    scored: Sequence[Scored]

    @cached_property
    def units(self) -> list[str]:
        """All images or patients, sorted."""
        return sorted({unit for one in self.scored for unit in one.units})

    @cached_property
    def totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums and numbers, (seeds, units, 3) each."""
        pairs = [unit_totals(one.values, one.units, self.units) for one in self.scored]
        return np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])

    @cached_property
    def estimates(self) -> list[Estimate]:
        """Of Dice, IoU and HD95."""
        return crossed_estimates(*self.totals)

    @cached_property
    def deviations(self) -> list[float | None]:
        """Standard deviation of the means of the seeds; None with fewer than two that have a finite value."""
        means = np.stack([_finite_means(one.values) for one in self.scored])
        known = [column[np.isfinite(column)] for column in means.T]
        return [float(column.std(ddof=1)) if len(column) > 1 else None for column in known]

    @property
    def leaks(self) -> Mapping[str, int]:
        """Of the splits that the runs were trained and tested on."""
        found: dict[str, int] = {}
        for one in self.scored:
            leaks = one.evaluation.get("leaks", one.result.get("leaks"))  # of a test on another dataset its own
            found |= {**(leaks or {}), **one.own_list}
        return found

    @property
    def is_mixed(self) -> bool:
        """Whether the seeds were not tested on the same images."""
        return any(set(one.units) != set(self.units) for one in self.scored)


def _finite_means(values: np.ndarray) -> np.ndarray:
    """Means of the columns of (N, M) without what is not finite."""
    finite = np.isfinite(values)
    numbers = finite.sum(axis=0)
    return np.where(numbers > 0, np.where(finite, values, 0).sum(axis=0) / np.maximum(numbers, 1), np.nan)


def prompts_title(prompts: Prompts) -> str:
    """What a column of these prompts is called."""
    return "random style, as the paper tested" if prompts == PAPER else f"{prompts.style}, {prompts.tag} prompts"


def cells_of(folder: StudyFolder) -> list[Cell]:
    """Every cell of which at least one seed is there, in the order of the plan.

    Raises:
        ReportError: a file of an evaluation cannot be read.
        MixedFilesError: files of an evaluation were changed since.
    """
    found: dict[tuple[str, Place, Prompts], list[Scored]] = defaultdict(list)
    for run in folder.runs:
        result = folder.result(run)
        for tested in folder.tested(run) if result else ():
            evaluation = (result or {})["evaluations"][tested]
            own = own_list(folder.study, run, tested, evaluation.get("split"))
            place = Place(run.dataset, tested, run.fraction)
            for prompts, columns in _by_prompts(_scores(folder, run, evaluation["folder"])):
                values = np.stack([columns[name] for name in METRICS], axis=1)
                scored = Scored(run, result or {}, evaluation, values, columns["unit"], own)
                found[run.system, place, prompts].append(scored)
    return [Cell(*key, scored) for key, scored in found.items()]


def _scores(folder: StudyFolder, run: Run, evaluation: str) -> Columns:
    try:
        return read_run(folder.root / evaluation).scores
    except UserError as error:
        file = folder.of_run(run) / RESULT
        raise type(error)(f"{error}. Or remove {file}, and study work evaluates again") from error


def _by_prompts(scores: Columns) -> Iterator[tuple[Prompts, Columns]]:
    for style in dict.fromkeys(scores["style"]):
        of_style = scores["style"] == style
        for tag in [""] if style == RANDOM else dict.fromkeys(scores["tag"][of_style]):
            rows = of_style & ((scores["tag"] == tag) | (tag == ""))
            yield Prompts(style, tag), {name: values[rows] for name, values in scores.items()}
