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
    assert "is not in the file any more" in folder(seeds=[43]).plan()[1]


def test_nothing_is_made_if_a_part_is_missing(place: Path, study: Callable[..., Study]) -> None:
    with pytest.raises(StudyError):
        StudyFolder.of(study(systems=["unknown"]), place / "out").plan()
    assert not (place / "out").exists()
