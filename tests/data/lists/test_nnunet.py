# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders of nnU-Net v2."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_vlsm.data import DatasetProblems, load_datalist
from monai_vlsm.data.volumes import Address
from monai_vlsm.errors import UserError
from tests.data.files import save, save_nifti
from tests.data.lists.folders import label_map, names_of, volume

LABELS = {"background": 0, "whole organ": [1, 2], "tumour": 2, "ignore": 3}


def nnunet(folder: Path, names: str = "abcde", channels: int = 1, **changes: Any) -> Path:
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        for channel in range(channels):
            save_nifti(volume(seed + channel), folder / f"imagesTr/{name}_{channel:04d}.nii.gz")
        save_nifti(label_map(seed), folder / f"labelsTr/{name}.nii.gz")
    names_of_channels = {str(index): name for index, name in enumerate(["CT", "PET"][:channels])}
    table = {"labels": LABELS, "channel_names": names_of_channels, "file_ending": ".nii.gz", "numTraining": 5}
    (folder / "dataset.json").write_text(json.dumps({**table, **changes}))
    return folder


def load(folder: Path, split: str = "train", **options: Any) -> list[dict[str, Any]]:
    return load_datalist(folder, split, check=False, **options)


def test_regions_and_what_nobody_annotated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = nnunet(tmp_path)
    array = label_map()
    array[0, 0] = 3
    save_nifti(array, folder / "labelsTr/a.nii.gz")
    with caplog.at_level(logging.INFO):
        records = load(folder)
    assert {one["structure"]: Address.of(one["label"]).labels for one in records} == {
        "whole organ": (1, 2),
        "tumour": (2,),
    }
    assert {*names_of(records), *names_of(load(tmp_path, "val"))} == set("abcde")
    assert Address.of(records[0]["image"]).file == str(tmp_path / f"imagesTr/{records[0]['case']}_0000.nii.gz")
    assert "left out is the label 3, ignore, for what nobody annotated" in caplog.text
    assert "without a name" not in caplog.text


def test_an_image_without_a_label_map_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = nnunet(tmp_path, "abc")
    (folder / "labelsTr/b.nii.gz").unlink()
    with caplog.at_level(logging.INFO):
        assert set(names_of(load(folder)) + names_of(load(folder, "val"))) == {"a", "c"}
    assert f"{folder}: left out, 1 case without a label map in labelsTr: b" in caplog.text


def test_channels(tmp_path: Path) -> None:
    folder = nnunet(tmp_path, channels=2)
    with pytest.raises(UserError, match=r"2 channels, 0 \(CT\), 1 \(PET\): choose one"):
        load(folder)
    assert Address.of(load(folder, channel="PET")[0]["image"]).file.endswith("_0001.nii.gz")


def test_folds_of_nnunet_itself(tmp_path: Path) -> None:
    folder = nnunet(tmp_path)
    (folder / "splits_final.json").write_text(
        json.dumps([{"train": list("abcd"), "val": ["e"]}, {"train": [], "val": ["a", "b"]}])
    )
    assert names_of(load(folder, "val", fold=1)) == ["a", "b"]
    assert names_of(load(folder, "train", fold=1)) == ["c", "d", "e"]


def test_files_that_the_list_names(tmp_path: Path) -> None:
    cases = {
        name: {"images": [f"imagesTr/{name}_0000.nii.gz"], "label": f"labelsTr/{name}.nii.gz"} for name in ("a", "b")
    }
    assert set(names_of(load(nnunet(tmp_path, dataset=cases)) + load(tmp_path, "val"))) == {"a", "b"}
    with pytest.raises(DatasetProblems, match=r"dataset\.json, c: expected image to lie in"):
        load(nnunet(tmp_path, dataset={"c": {"images": ["../c.nii.gz"], "label": "x"}}))


def test_hidden_files_and_missing_images(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = nnunet(tmp_path)
    for file in ("imagesTr/._a_0000.nii.gz", "labelsTr/._a.nii.gz"):
        (folder / file).write_bytes(b"\0\5\x16\7")
    with caplog.at_level(logging.INFO):
        load(folder)
    assert "left out 2 files ._*" in caplog.text
    (folder / "imagesTr/a_0000.nii.gz").unlink()
    with pytest.raises(DatasetProblems, match=r"labelsTr/a\.nii\.gz: expected its image imagesTr/a_0000\.nii\.gz"):
        load(folder)


def test_images_of_two_axes(tmp_path: Path) -> None:
    for part in ("imagesTr", "labelsTr"):
        (tmp_path / part).mkdir()
    for name in "abc":
        save(np.full((8, 9), 100, np.uint8), tmp_path / f"imagesTr/{name}_0000.png")
        labels = np.zeros((8, 9), np.uint8)
        labels[2:4, 3:5], labels[5, 5] = 1, 2
        save(labels, tmp_path / f"labelsTr/{name}.png")
    table = {
        "labels": {"background": 0, "liver": 1, "tumour": 2},
        "channel_names": {"0": "grey"},
        "file_ending": ".png",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(table))
    records = load(tmp_path, "val")
    name = records[0]["image_id"]
    assert [record["label"] for record in records] == [
        str(tmp_path / f"labelsTr/{name}.png::label={n}") for n in (1, 2)
    ]
    assert [record["name"] for record in records] == [f"{name}_liver", f"{name}_tumour"]
    assert records[0]["case"] == "" and records[0]["patient"] == name
