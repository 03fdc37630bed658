# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders that are nearly lists of cases: what is said of them makes them whole."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.commands import main
from monai_vlsm.data import DataLists, load_datalist
from monai_vlsm.data.sources import DatasetFolderError
from tests.data.lists.folders import LABELS, entry, names_of, save_volumes

NAMES = '"labels": {"1": "NAME", "2": "NAME"}'
ENDING = '"file_ending": ".nii.gz"'
TRAINING = '"training": [{"image": "imagesTr/CASE.nii.gz", "label": "labelsTr/CASE.nii.gz"}]'


@pytest.mark.parametrize(
    ("content", "volumes", "message"),
    [
        ("{}", True, f"lacks labels and training (it has no keys at all): write into it {{{NAMES}, {ENDING}}}"),
        ("", True, "lacks labels and training (it has no keys at all)"),
        ("[]", False, 'lacks labels and training (it has no keys at all): write into it {"labels": {"1": "NAME"}, '),
        ({"labels": LABELS}, True, f"lacks training (its keys are labels): write into it {{{ENDING}}}"),
        ({"labels": LABELS}, False, f"lacks training (its keys are labels): write into it {{{TRAINING}}}"),
        (
            {"labels": LABELS, "modality": "CT", "training": []},
            False,
            "lacks training (its keys are labels, modality, ",
        ),
        ({"channel_names": {"0": "CT"}}, True, f"lacks labels (its keys are channel_names): write into it {{{NAMES}}}"),
        ({"name": "x"}, True, f"lacks labels and training (its keys are name): write into it {{{NAMES}, {ENDING}}}"),
    ],
)
def test_a_file_that_lacks_something(
    content: Any, volumes: bool, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if volumes:
        save_volumes(tmp_path, "ab")
    file = tmp_path / "dataset.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    for place in (tmp_path, file):
        assert main(["data", "check", str(place)]) == 2
        assert capsys.readouterr().err.startswith(f"error: {file} is there, but {message}")
        with pytest.raises(DatasetFolderError, match=re.escape(message)):
            load_datalist(place, "train")


def test_one_of_several(tmp_path: Path) -> None:
    (tmp_path / "Task03").mkdir()
    (tmp_path / "Task03/dataset.json").write_text("{}")
    with pytest.raises(DatasetFolderError, match=r"Task03/dataset\.json is there, but lacks labels and training"):
        load_datalist(tmp_path, "train", "Task03")
    with pytest.raises(DatasetFolderError, match=r"Task03/dataset\.json is there, but lacks labels and training"):
        load_datalist(tmp_path / "Task03", "train", "Task03")
    with pytest.raises(DatasetFolderError, match=r"unknown dataset 'Task04' in .*, found: none"):
        load_datalist(tmp_path, "train", "Task04")


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_what_is_to_be_written_makes_a_list(ending: str, tmp_path: Path) -> None:
    save_volumes(tmp_path, "ab", ending)
    with pytest.raises(DatasetFolderError, match="holds imagesTr and labelsTr but no list of cases") as caught:
        load_datalist(tmp_path, "train")
    file, example = re.search(r"write (\S+), such as (\{.*\})$", str(caught.value)).groups()  # type: ignore[union-attr]
    assert (Path(file), example) == (tmp_path / "dataset.json", f'{{{NAMES}, "file_ending": "{ending}"}}')
    Path(file).write_text(example.replace("NAME", "liver", 1).replace("NAME", "kidney", 1))
    lists = DataLists(tmp_path)
    assert sorted(names_of(lists.load("train") + lists.load("val"))) == ["a", "b"]


def test_a_list_of_training_cases_is_enough(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(DatasetFolderError) as caught:
        load_datalist(tmp_path, "train")
    table = json.loads(str(caught.value).partition("write into it ")[2])
    assert table == {"labels": {"1": "NAME"}, "training": [json.loads(json.dumps(entry("CASE")).replace("./", ""))]}


def test_images_without_label_maps(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    with pytest.raises(DatasetFolderError, match="holds imagesTr but no labelsTr, and no list of cases: write"):
        load_datalist(tmp_path, "train")
