# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Study files: what they may say, and what is told of a wrong one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.studies import Study, StudyError, plan_runs, read_study, shipped_studies

Make = Callable[..., Study]
UNTRAINED = {"polyps": None, "moles": {"train": False}}


def test_defaults(study: Make) -> None:
    made = study(seeds=[1])
    assert (made.fractions, made.styles, made.transfer) == ([1.0], ["p1"], {})
    assert list(made.systems) == ["good", "better"] and made.systems["good"].bundle == "good"
    assert made.tables == {"Results": ["good", "better"]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"system": {}}, ["unknown key 'system'", "did you mean systems?"]),
        ({"systems": {"a": {"bundel": "good"}}}, ["system a", "'bundel'", "did you mean bundle?"]),
        ({"systems": {"a": {"settings": {"seed": 1}}}}, ["system a", "seed", "study decides"]),
        ({"systems": {}}, ["expected systems"]),
        ({"datasets": {"polyps": {"train": "no"}}}, ["dataset polyps", "true or false", "'no'"]),
        ({"datasets": {"polyps": {"train": False}}}, ["no dataset to train on"]),
        ({"seeds": [41, 41]}, ["seeds", "41 is there twice"]),
        ({"seeds": [True]}, ["seeds", "whole numbers"]),
        ({"fractions": [10]}, ["fractions", "at most 1", "[10]"]),
        ({"styles": []}, ["styles"]),
        ({"transfer": {"polyps": ["mole"]}}, ["transfer", "unknown dataset 'mole'"]),
        ({"transfer": {"polyp": ["polyps"]}}, ["unknown dataset 'polyp'", "did you mean polyps?"]),
        (
            {"transfer": {"moles": ["polyps"]}, "datasets": {"polyps": None, "moles": {"train": False}}},
            ["trained on moles"],
        ),
        ({"tables": {"T": ["god"]}}, ["tables", "unknown system 'god'", "did you mean good?"]),
        ({"lease": 0}, ["lease", "above 0"]),
    ],
)
def test_wrong_files(study: Make, given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        study(**given)
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"no study file .*none.yaml.*paper, peft, sample"):
        read_study(tmp_path / "none.yaml")


def test_no_yaml(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(StudyError, match="cannot read"):
        read_study(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("name", "runs"), [("paper", 216), ("sample", 10), ("low_data", 192), ("transfer", 36), ("peft", 204), ("busi", 10)]
)
def test_shipped(name: str, runs: int) -> None:
    assert set(shipped_studies()) == {"paper", "sample", "low_data", "transfer", "peft", "busi"}
    assert len(plan_runs(read_study(name))) == len({run.name for run in plan_runs(read_study(name))}) == runs


def test_paper_has_its_hyper_parameters() -> None:
    rates = {run.system: run.settings["learning_rate"] for run in plan_runs(read_study("paper"))}
    assert {rates[name] for name in ("dense V", "dense VL", "dense VLC")} == {0.001}
    assert {rates[name] for name in ("shallow V", "shallow VL", "shallow VLC")} == {0.0003}
    assert read_study("paper").settings["batch_size"] == 32


def test_one_setting_for_all(study: Make) -> None:
    made = study(systems={"good": {"settings": {"epochs": 7, "encoders": "v"}}}).with_setting("epochs", 1)
    assert plan_runs(made)[0].settings == {"epochs": 1, "encoders": "v"}


def test_powers_of_ten_are_numbers(study: Make) -> None:
    assert study(settings={"learning_rate": "1e-3", "encoders": "v"}).settings == {
        "learning_rate": 0.001,
        "encoders": "v",
    }


def test_a_system_that_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("systems:\n  x: {bundle: a}\n  x: {bundle: b}\ndatasets: [d]\n")
    with pytest.raises(StudyError, match="'x' is there twice"):
        read_study(tmp_path / "a.yaml")
