# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a search tries: the same values for every system and dataset, drawn once by Optuna and kept in a file."""

from __future__ import annotations

import importlib
import importlib.util
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

from monai_vlsm.io import write_json
from monai_vlsm.studies.keys import StudyError
from monai_vlsm.studies.plan import Run, plan_runs
from monai_vlsm.studies.run_files import read_json
from monai_vlsm.studies.study import Range, Search, Study

__all__ = ["draw_values", "keep_values", "kept_values", "trial_runs"]

Values = dict[str, Any]
_FILE = "search.json"
_DIGITS = 3  # that count of a number in a range
_MISSES = 50  # draws for each trial, after which there is nothing new to be found


def trial_runs(study: Study, values: Sequence[Values]) -> list[Run]:
    """The trainings of a search: every system on every dataset with each of the values, on most of the training data.

    The first values come first for all systems, so that none is ahead of the others when a search is stopped. A system
    with nothing to train has no trials.
    """
    if study.search is None:
        return []
    once = plan_runs(replace(study, seeds=[study.search.seed], fractions=[max(study.fractions)]))
    return [replace(run, settings={**run.settings, **tried}) for tried in values for run in once if run.trains]


def kept_values(study: Study, root: Path) -> list[Values]:
    """The values of each trial as they stand in the folder of a study; none if they are those of another search."""
    kept = read_json(root / _FILE) or {}
    trials = kept.get("trials")
    if study.search is None or kept.get("search") != _facts(study.search) or not isinstance(trials, list):
        return []
    whole = all(isinstance(one, dict) and one.keys() == study.search.settings.keys() for one in trials)
    return trials if whole else []


def keep_values(study: Study, root: Path) -> None:
    """Draw the values of a search and write them down, unless that is done.

    Nobody draws again what is there: it stays the same, whatever version of Optuna comes later.

    Raises:
        StudyError: Optuna is not installed.
        WriteError: the folder cannot be written to.
    """
    if study.search is not None and not kept_values(study, root):
        write_json(root / _FILE, {"search": _facts(study.search), "trials": draw_values(study.search)})


def _facts(search: Search | None) -> Any:
    """A search as its file says it."""
    return json.loads(json.dumps(asdict(search), default=str)) if search else None


def draw_values(search: Search) -> list[Values]:
    """Values that fill their ranges evenly, by a quasi-random sequence (Sobol's, scrambled); no two trials are alike.

    They depend on the search alone, not on what earlier trials gave: so trials can be done in any order by any number
    of workers, and every system is searched in the same way.

    Raises:
        StudyError: Optuna is not installed, or the ranges are so narrow that they do not hold so many values.
    """
    if importlib.util.find_spec("optuna") is None:
        raise StudyError("a search needs Optuna: pip install 'monai_vlsm[search]'")
    found: list[Values] = []
    draws = islice(_draws(importlib.import_module("optuna"), search), _MISSES + _MISSES * search.trials)
    for values in draws:
        found += [values] if values not in found else []
        if len(found) == search.trials:
            return found
    raise StudyError(
        f"search: {search.trials} trials, but only {len(found)} different ones were found, with {_DIGITS} digits that "
        "count; widen a range, or ask for fewer"
    )


def _draws(optuna: Any, search: Search) -> Iterator[Values]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that the sampler is new
        sampler = optuna.samplers.QMCSampler(seed=search.seed, scramble=True, warn_independent_sampling=False)
    ranges = {name: one if isinstance(one, Range) else Range(0, len(one) - 1, False) for name, one in _tried(search)}
    kinds = {name: _distribution(optuna.distributions, one) for name, one in ranges.items()}
    study = optuna.create_study(sampler=sampler)
    # from a trial that is over the sampler learns what to draw; before, it would draw at random
    least = {name: one.low for name, one in ranges.items()}
    study.add_trial(optuna.trial.create_trial(params=least, distributions=kinds, value=0.0))
    while True:
        trial = study.ask(kinds)
        study.tell(trial, 0.0)
        yield {name: _value(one, trial.params[name]) for name, one in _tried(search)}


def _tried(search: Search) -> Sequence[tuple[str, Range | Sequence[Any]]]:
    return list(search.settings.items())


def _distribution(kinds: Any, tried: Range) -> Any:
    kind = kinds.IntDistribution if tried.is_whole else kinds.FloatDistribution
    return kind(tried.low, tried.high, log=tried.log)


def _value(tried: Range | Sequence[Any], drawn: float) -> Any:
    """A member of a list, a whole number, or a number of few digits that is within its range."""
    if not isinstance(tried, Range):
        return tried[int(drawn)]
    if tried.is_whole:
        return int(drawn)
    return min(max(float(f"{drawn:.{_DIGITS}g}"), tried.low), tried.high)
