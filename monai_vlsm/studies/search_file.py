# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The part ``search`` of a study file: which settings are tried, and how often."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from monai_vlsm.studies.keys import StudyError, known, listed, shown, take
from monai_vlsm.studies.study import Dataset, Range, Search, Study, System
from monai_vlsm.studies.values import is_number, is_seed, number, settings

__all__ = ["read_search", "require_fair"]

_BUDGET = "epochs"
_MOST = 10_000


def read_search(place: str, value: Any, seed: int) -> Search:
    """A search as people write it.

    Args:
        place: where it stands, for messages.
        value: a table with ``trials``, ``settings`` and perhaps ``seed``.
        seed: where it says none.

    Raises:
        StudyError: anything that is wrong.
    """
    table = known(place, value, ("trials", "settings", "seed"))
    trials = take(
        f"{place}, trials",
        table.get("trials"),
        f"a whole number from 1 to {_MOST}",
        lambda one: is_seed(one) and 0 < one <= _MOST,
    )
    tried = settings(f"{place}, settings", table.get("settings"))
    if not tried:
        raise StudyError(f"{place}, settings: expected what to try, such as learning_rate: {{from: 1e-5, to: 1e-2}}")
    if _BUDGET in tried:
        raise StudyError(f"{place}, settings: {_BUDGET} is the budget, which is the same for all trials; leave it out")
    found = {name: _choices(f"{place}, settings, {name}", one) for name, one in tried.items()}
    there = math.prod(map(_size, found.values()))
    if there < trials:
        raise StudyError(f"{place}: {trials} trials, but there are only {there} different ones; say trials: {there}")
    return Search(trials, found, take(f"{place}, seed", table.get("seed", seed), "a whole number from 0", is_seed))


def require_fair(place: str, study: Study) -> None:
    """Check that a search decides what it tries, and sees no test images; nothing to check without one.

    Args:
        place: where the search stands, for messages.
        study: all that its file says.

    Raises:
        StudyError: a setting that is tried has a value elsewhere, or a dataset is tested on its validation images.
    """
    if study.search is None:
        return
    fixed = {"settings of the study": study.settings}
    fixed |= {f"{kind} {one.name}": one.settings for kind, ones in _parts(study) for one in ones}
    for name in study.search.settings:
        where = next((where for where, given in fixed.items() if name in given), None)
        if where:
            raise StudyError(f"{place}: {name} has a value in {where}; take it out of one of the two")
    trained = [dataset for dataset in study.datasets.values() if dataset.train]
    for dataset, system in product(trained, study.systems.values()):
        split = {**study.settings, **dataset.settings, **system.settings}.get("val_split", "val")
        if split == dataset.test_split:
            raise StudyError(
                f"{place}: dataset {dataset.name} is tested on its list {split}, which a search looks at; give it "
                "another test_split"
            )


def _parts(study: Study) -> list[tuple[str, Iterable[System | Dataset]]]:
    return [("system", study.systems.values()), ("dataset", study.datasets.values())]


def _choices(place: str, value: Any) -> Range | Sequence[Any]:
    if isinstance(value, list):
        return listed(place, [number(one) for one in value], "values", lambda one: not isinstance(one, dict | list))
    if not isinstance(value, Mapping):
        raise StudyError(
            f"{place}: expected a list of values, or a range such as {{from: 1e-5, to: 1e-2}}, got {shown(value)}"
        )
    table = known(place, value, ("from", "to", "log"))
    low, high = (take(f"{place}, {end}", number(table.get(end)), "a number", is_number) for end in ("from", "to"))
    log = take(f"{place}, log", table.get("log", low > 0), "true or false", lambda one: isinstance(one, bool))
    if not low < high:
        raise StudyError(f"{place}: expected a range from less to more, got from {low} to {high}")
    if log and low <= 0:
        raise StudyError(f"{place}: a logarithmic range begins above 0, got from: {low}; or say log: false")
    return Range(low, high, log)


def _size(choices: Range | Sequence[Any]) -> float:
    """How many different values there are."""
    if not isinstance(choices, Range):
        return len(choices)
    return choices.high - choices.low + 1 if choices.is_whole else math.inf
