# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The folder of a study: whose it is, and what of it is valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from monai_vlsm.studies import Study, StudyError, StudyFolder
from tests.folders import contents
from tests.studies.workers import worker


def test_planning_twice_changes_nothing(place: Path, folder: Callable[..., StudyFolder]) -> None:
    folder()
    before = contents(place / "out")
    assert folder().plan() == [] and contents(place / "out") == before


def test_two_studies_in_one_folder(place: Path, folder: Callable[..., StudyFolder]) -> None:
    folder()
    with pytest.raises(StudyError, match=r"out belongs to the study 's', not to 'other'.*--output"):
        folder(name="other")


def test_a_changed_file_says_which_runs_stay_valid(place: Path, folder: Callable[..., StudyFolder]) -> None:
    made = folder(seeds=[41])
    worker(made).work()
    changed = folder(seeds=[41], systems={"good": {"settings": {"epochs": 5}}, "better": None})
    lines = changed.plan()
    assert "1 run with results stay valid, 1 run of before" in lines[0]
    assert made.runs[0].name in lines[1] and "epochs was 2 and is 5" in lines[1]
    assert [changed.is_done(run) for run in changed.runs] == [False, True]
    assert "its seed is not in the file any more" in folder(seeds=[43]).plan()[1]


def test_runs_of_before_are_told_once_for_each_reason(place: Path, folder: Callable[..., StudyFolder]) -> None:
    folder(seeds=[41, 42, 43, 44, 45], fractions=[1.0, 0.5], systems=["good"]).plan()
    head, *lines = folder(seeds=[45], fractions=[1.0], systems=["good"]).plan()
    assert "9 runs of before" in head
    reasons = {line.rpartition(": ")[2]: line.count("polyps--") for line in lines}
    start, end = "its", "not in the file any more"
    assert reasons == {
        f"{start} seed is {end}": 3,
        f"{start} seed and fraction are {end}": 3,
        f"{start} fraction is {end}": 1,
    }
    assert sum("and 1 more: " in line for line in lines) == 2


def test_nothing_is_made_if_a_part_is_missing(place: Path, study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError):
        StudyFolder.of(study(systems=["unknown"]), place / "out").plan()
    assert not (place / "out").exists()
