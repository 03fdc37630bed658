# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which cases train and which validate, where a list says it and where it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.data.entries import read_json
from monai_vlsm.data.lists.cases import Case, CaseList
from monai_vlsm.data.problems import DatasetProblems
from monai_vlsm.errors import UserError
from monai_vlsm.io import write_json
from monai_vlsm.names import split_name

__all__ = ["NoSplitError", "Split", "held_out", "kept_split", "split_cases", "write_split"]

SHARE = 0.2  # of the patients, for validation
TRAIN, VAL, TEST = "train", "val", "test"


class NoSplitError(UserError, ValueError):
    """A split or fold that is not there and cannot be made."""


@dataclass(frozen=True)
class Split:
    """Cases by what they are for.

    Args:
        train: to train.
        val: to validate.
        test: with labels, to test; empty where there are none.
        rule: how they came about, in words.
        made: whether they were made here, and not by the list.
    """

    train: tuple[Case, ...]
    val: tuple[Case, ...]
    test: tuple[Case, ...]
    rule: str
    made: bool = False

    def taken(self, name: str, where: str) -> str:
        """The split whose cases stand for one that is asked for: that one, or ``val`` where no test case has labels.

        Args:
            name: train, val or test.
            where: the list, for messages.

        Raises:
            NoSplitError: an unknown name.
        """
        key = split_name(name)
        if key not in (TRAIN, VAL, TEST):
            raise NoSplitError(f"unknown split {name!r} of {where}, known: {TRAIN}, {VAL}, {TEST}")
        return VAL if key == TEST and not self.test else key

    def part(self, name: str, where: str) -> tuple[tuple[Case, ...], str]:
        """The cases of one split, and a line to say, if there is one. Arguments and errors as of `taken`."""
        key = self.taken(name, where)
        other = key != split_name(name)
        line = f"{where} has no labelled test cases: those of the validation are taken" if other else ""
        return {TRAIN: self.train, VAL: self.val, TEST: self.test}[key], line


def split_cases(cases: CaseList, fold: int | None, seed: int, kept: dict[str, Any] | None = None) -> Split:
    """The splits of a list of cases.

    The list decides where it can: with ``fold`` by its folds, else by its own ``validation``, else by its fold 0. Where
    it says nothing, a fifth of the patients validates, drawn by the seed.

    Args:
        cases: the list.
        fold: number of a fold of the list.
        seed: decides who validates in a split that is made.
        kept: a split that was written down before (`kept_split`) and is made again just so; cases that it does not
            have are held out.

    Raises:
        NoSplitError: no such fold, or a single patient.
    """
    where, test = str(cases.file), cases.test
    if fold is not None and fold not in cases.folds:
        known = ", ".join(map(str, cases.folds))
        raise NoSplitError(f"{where} has no fold {fold}, {f'its folds are {known}' if known else 'nor any other fold'}")
    if fold is None and cases.validation:
        return Split(cases.training, cases.validation, test, "validation of the list")
    if cases.folds:
        number = min(cases.folds) if fold is None else fold
        validates = cases.folds[number]
        rule = f"fold {number} of the list" + ("" if fold is not None else ", as no fold was given")
        return _by_name(cases.training, validates, test, rule)
    if kept is not None and _is_about(kept, cases.training):
        trained = set(kept[TRAIN])
        validates = frozenset(case.name for case in cases.training if case.name not in trained)
        return _by_name(cases.training, validates, test, str(kept.get("rule", "written down before")), made=True)
    patients = held_out([case.patient for case in cases.training], seed, where)
    validates = frozenset(case.name for case in cases.training if case.patient in patients)
    return _by_name(cases.training, validates, test, f"made by patient with seed {seed}", made=True)


def _by_name(
    cases: Sequence[Case], validates: frozenset[str], test: tuple[Case, ...], rule: str, made: bool = False
) -> Split:
    train = tuple(case for case in cases if case.name not in validates)
    return Split(train, tuple(case for case in cases if case.name in validates), test, rule, made)


def _is_about(kept: dict[str, Any], cases: Sequence[Case]) -> bool:
    """Whether a split that was written down has cases of this list."""
    return bool({case.name for case in cases} & {*kept[TRAIN], *kept[VAL]})


def held_out(patients: Iterable[str], seed: int, where: str) -> frozenset[str]:
    """A fifth of the patients, at least one, by a hash of seed and name: the same on every machine.

    Raises:
        NoSplitError: a single patient.
    """
    order = sorted(set(patients), key=lambda one: hashlib.sha256(f"{seed} {one}".encode()).hexdigest())
    if len(order) < 2:
        raise NoSplitError(
            f"{where} says neither who trains nor who validates, and has one patient only, who cannot do both: "
            "give it more cases"
        )
    return frozenset(order[: max(1, round(SHARE * len(order)))])


def write_split(file: Path, split: Split, cases: CaseList, seed: int) -> None:
    """Write down which cases train, validate and test, by which rule and seed."""
    parts = {TRAIN: split.train, VAL: split.val, TEST: split.test}
    names = {part: [case.name for case in own] for part, own in parts.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"dataset": cases.dataset, "rule": split.rule, "seed": seed, **names})


def kept_split(file: Path | None) -> dict[str, Any] | None:
    """What `write_split` wrote; None without such a file.

    Raises:
        NoSplitError: a file that holds something else.
    """
    if file is None or not file.is_file():
        return None
    try:
        content = read_json(file)
    except DatasetProblems as error:
        raise NoSplitError(f"{file}: expected a split, {error.problems[0].found}") from error
    sound = isinstance(content, dict) and all(isinstance(content.get(part), list) for part in (TRAIN, VAL))
    if not sound:
        raise NoSplitError(f"{file}: expected a split with the keys {TRAIN} and {VAL}; remove it if it is not yours")
    return dict(content)
