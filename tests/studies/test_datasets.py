# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A part of a study: only some of its datasets."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.studies import Study, StudyError, StudyFolder
from monai_vlsm.studies.writing import write_tables
from tests.studies.workers import starts, worker

GIVEN: dict[str, Any] = {
    "systems": ["good"],
    "seeds": [41],
    "datasets": {"polyps": None, "moles": None, "clinic": {"folder": "moles", "train": False}},
    "transfer": {"polyps": ["clinic"], "moles": ["polyps"]},
}
Make = Callable[..., Study]
MakeFolder = Callable[..., StudyFolder]


def test_the_others_need_not_be_there(place: Path, study: Make) -> None:
    whole = study(**GIVEN)
    shutil.rmtree(place / "data" / "moles")
    part = StudyFolder.of(whole.only(["polyps"]), place / "out")
    assert part.plan() == []
    assert [(run.dataset, part.tested(run)) for run in part.runs] == [("polyps", ["polyps"])]
    with pytest.raises(StudyError, match="dataset moles: no folder"):
        StudyFolder.of(whole, place / "out").plan()


def test_a_dataset_that_is_only_tested_on_is_named_too(place: Path, study: Make) -> None:
    part = StudyFolder.of(study(**GIVEN).only(["clinic", "polyps"]), place / "out")
    assert [(run.dataset, part.tested(run)) for run in part.runs] == [("polyps", ["polyps", "clinic"])]


def test_a_folder_keeps_what_was_planned_with_more_datasets(place: Path, folder: MakeFolder, study: Make) -> None:
    whole = folder(**GIVEN)
    part = StudyFolder.of(whole.study.only(["polyps"]), place / "out")
    assert part.plan() == [] and all((whole.of_run(run) / "plan.json").is_file() for run in whole.runs)
    changed = StudyFolder.of(study(**GIVEN | {"settings": {"epochs": 3}}).only(["polyps"]), place / "out")
    assert [line.split(":")[0].split("--")[0] for line in changed.plan()[1:]] == ["  polyps"]


def test_another_machine_does_the_rest_without_training_again(place: Path, folder: MakeFolder) -> None:
    whole = folder(**GIVEN)
    part = replace(whole, study=whole.study.only(["polyps"]), runs=whole.runs[:1])
    assert worker(part).work() == 1 and part.is_done(whole.runs[0]) and not whole.is_done(whole.runs[0])
    assert worker(whole).work() == 2
    assert sorted(starts(place)) == [
        *("good 41 evaluate moles", "good 41 evaluate moles", "good 41 evaluate polyps", "good 41 evaluate polyps"),
        *("good 41 train moles", "good 41 train polyps"),
    ]


def test_tables_say_what_was_left_out(place: Path, folder: MakeFolder) -> None:
    whole = folder(**GIVEN)
    part = StudyFolder.of(whole.study.only(["polyps"]), place / "out")
    worker(part).work()
    write_tables(part, place / "tables")
    text = (place / "tables" / "table.md").read_text(encoding="utf-8")
    assert "1 of 1 run done, without the datasets moles, clinic, which were left out." in text


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["polyps", "mole"], r"no dataset 'mole' in the study s; there are polyps, moles, clinic"),
        (["clinic"], "nothing is trained on clinic"),
    ],
)
def test_names_that_cannot_be(study: Make, names: list[str], words: str) -> None:
    with pytest.raises(StudyError, match=words):
        study(**GIVEN).only(names)
