# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The part of a study file that says what to search: what it may say, and what is told of a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.studies import Study, StudyError, StudyFolder
from monai_vlsm.studies.study import Range, Search

Make = Callable[..., Study]
RATE = {"learning_rate": {"from": "1e-5", "to": 0.01}}


def test_what_it_says(study: Make) -> None:
    tried = {**RATE, "network_def#dropout": [0, 0.1], "epochs_of_rest": {"from": 1, "to": 4, "log": False}}
    assert study(search={"trials": 4, "settings": tried}).search == Search(
        4,
        {
            "learning_rate": Range(1e-5, 0.01, True),
            "network_def#dropout": [0, 0.1],
            "epochs_of_rest": Range(1, 4, False),
        },
        41,
    )
    assert study(search={"trials": 1, "settings": RATE, "seed": 7}).search.seed == 7  # type: ignore[union-attr]
    assert study().search is None


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (None, ["trials", "whole number from 1", "None"]),
        ({"trials": 0, "settings": RATE}, ["trials", "whole number from 1", "got 0"]),
        ({"trials": 2.5, "settings": RATE}, ["trials", "2.5"]),
        ({"trials": 2, "setting": RATE}, ["unknown key 'setting'", "did you mean settings?"]),
        ({"trials": 2}, ["settings", "what to try"]),
        ({"trials": 2, "settings": {"seed": [1, 2]}}, ["seed", "study decides"]),
        ({"trials": 2, "settings": {"epochs": [1, 2]}}, ["epochs is the budget"]),
        ({"trials": 2, "settings": {"learning_rate": 0.1}}, ["learning_rate", "list of values, or a range", "0.1"]),
        ({"trials": 2, "settings": {"learning_rate": [0.1, 0.1]}}, ["0.1 is there twice"]),
        ({"trials": 3, "settings": {"learning_rate": [0.1, 0.2]}}, ["3 trials", "only 2 different ones"]),
        ({"trials": 2, "settings": {"learning_rate": {"from": 1, "till": 2}}}, ["unknown key 'till'"]),
        ({"trials": 2, "settings": {"learning_rate": {"from": 2, "to": 1}}}, ["from less to more", "from 2 to 1"]),
        ({"trials": 2, "settings": {"learning_rate": {"from": 0, "to": 1.0, "log": True}}}, ["above 0", "log: false"]),
        ({"trials": 2, "settings": {"learning_rate": {"from": "low", "to": 1}}}, ["a number", "'low'"]),
        ({"trials": 2, "settings": RATE, "seed": -1}, ["seed", "-1"]),
    ],
)
def test_wrong_ones(study: Make, search: Any, words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        study(search=search)
    assert all(word in str(caught.value) for word in ["study.yaml, search", *words])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"settings": {"learning_rate": 1}}, ["learning_rate has a value in settings of the study"]),
        ({"systems": {"good": {"settings": {"learning_rate": 1}}}}, ["learning_rate has a value in system good"]),
        ({"datasets": {"polyps": {"settings": {"learning_rate": 1}}}}, ["in dataset polyps"]),
        ({"datasets": {"polyps": {"test_split": "val"}}}, ["dataset polyps", "tested on its list val"]),
        ({"settings": {"val_split": "test"}}, ["tested on its list test"]),
    ],
)
def test_what_would_not_be_fair(study: Make, given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        study(search={"trials": 2, "settings": RATE}, **given)
    assert all(word in str(caught.value) for word in words)


def test_parts_that_are_not_there(study: Make, place: Path) -> None:
    unknown = study(search={"trials": 2, "settings": {"learning_rat": [1, 2]}})
    with pytest.raises(StudyError, match=r"the search: .*no setting 'learning_rat'; did you mean learning_rate"):
        StudyFolder.plan_search(unknown, place / "out")
    (place / "data" / "polyps" / "val.json").unlink()
    with pytest.raises(StudyError, match="no list of the split 'val'"):
        StudyFolder.plan_search(study(search={"trials": 2, "settings": RATE}), place / "out")
    with pytest.raises(StudyError, match="the study s has no search"):
        StudyFolder.plan_search(study(), place / "out")
    assert not (place / "out").exists()
