# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Splits that are made: by patient, by the seed, and the same again from the file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_vlsm.data import DataLists
from monai_vlsm.data.lists.splits import held_out
from monai_vlsm.errors import UserError
from tests.data.lists.folders import decathlon, entry, names_of


def test_a_fifth_of_the_patients() -> None:
    patients = [f"p{index}" for index in range(100)] * 2
    first = held_out(patients, 41, "list")
    assert len(first) == 20 and first == held_out(patients[::-1], 41, "list") != held_out(patients, 42, "list")
    assert len(held_out("ab", 0, "list")) == 1
    with pytest.raises(UserError, match="has one patient only"):
        held_out(["a", "a"], 0, "list")


def test_patients_stay_together(tmp_path: Path) -> None:
    cases = [entry(name, patient=f"p{number // 2}") for number, name in enumerate("abcde")]
    for seed in range(4):
        lists = DataLists(decathlon(tmp_path, training=cases), seed=seed)
        train, val = ({record["patient"] for record in lists.load(split)} for split in ("train", "val"))
        assert len(val) == 1 and train | val == {"p0", "p1", "p2"} and not train & val


def test_written_down_and_made_again(tmp_path: Path) -> None:
    folder, file = decathlon(tmp_path / "Task01", "abcdefg"), tmp_path / "models/split.json"
    trained = DataLists(folder, seed=5)
    trained.write_split(file)
    content = json.loads(file.read_text())
    assert (content["dataset"], content["rule"], content["seed"]) == ("Task01", "made by patient with seed 5", 5)
    assert content["train"] == names_of(trained.load("train")) and content["val"] == names_of(trained.load("val"))
    evaluated = DataLists(folder, seed=6, split_file=file)
    assert evaluated.load("val") == trained.load("val") != DataLists(folder, seed=6).load("val")
    folder = decathlon(tmp_path / "Task01", "abcdefgh")  # a case that nobody trained on
    assert names_of(DataLists(folder, split_file=file).load("val")) == [*content["val"], "h"]


def test_what_a_list_says_is_not_written_down(tmp_path: Path) -> None:
    folder = decathlon(tmp_path, training=[entry("a")], validation=[entry("b")])
    DataLists(folder).write_split(tmp_path / "split.json")
    assert not (tmp_path / "split.json").exists()


@pytest.mark.parametrize("content", ["{", "[]", '{"train": 3}'])
def test_a_file_that_is_no_split(content: str, tmp_path: Path) -> None:
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(UserError, match=r"split\.json: expected a split"):
        DataLists(decathlon(tmp_path / "data"), split_file=tmp_path / "split.json").load("train")


def test_a_split_of_other_data_does_not_count(tmp_path: Path) -> None:
    DataLists(decathlon(tmp_path / "one", "vwxyz")).write_split(tmp_path / "split.json")
    folder = decathlon(tmp_path / "two")
    assert DataLists(folder, split_file=tmp_path / "split.json").load("val") == DataLists(folder).load("val")


def test_one_case_only(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has one patient only, who cannot do both: give it more cases"):
        DataLists(decathlon(tmp_path, "a")).load("train")


def test_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown split 'dev' of .*dataset\.json, known: train, val, test"):
        DataLists(decathlon(tmp_path)).load("dev")
