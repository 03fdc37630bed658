# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists of the Decathlon and of Auto3DSeg, sound and faulty."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_vlsm.data import DataLists, DatasetProblems, ImageFileReader, load_datalist
from monai_vlsm.data.volumes import Address, open_stack
from monai_vlsm.errors import UserError
from tests.data.files import save, save_nifti, square
from tests.data.lists.folders import LABELS, SIZE, decathlon, entry, label_map, names_of, volume

TRAIN, VAL = ["a", "b", "c", "d"], ["e"]


def load(folder: Path, split: str = "train", **options: Any) -> list[dict[str, Any]]:
    return load_datalist(folder, split, check=False, **options)


def test_a_record_for_each_slice_and_class(tmp_path: Path) -> None:
    folder = decathlon(tmp_path / "Task03_Liver", validation=[entry("e")], training=[entry(name) for name in "abcd"])
    records = load(folder)
    assert names_of(records) == TRAIN and names_of(load(folder, "val")) == VAL
    assert len(records) == 4 * (8 + 7) and len({record["name"] for record in records}) == len(records)
    image, label = (str(folder / part / "a.nii.gz") for part in ("imagesTr", "labelsTr"))
    assert records[0] == {
        "image": f"{image}::axial=2",
        "label": f"{label}::axial=2::label=1",
        "prompt": {"p1": "liver"},
        "tags": {"p1": "class"},
        "dataset": "Task03_Liver",
        "name": "a_axial_02_liver",
        "image_id": "a_axial_02",
        "patient": "a",
        "case": "a",
        "structure": "liver",
        "modality": "CT",
    }
    assert {record["structure"]: record["prompt"]["p1"] for record in records} == {
        "liver": "liver",
        "kidney_left": "left kidney",
    }


def test_masks_are_those_of_the_label_map(tmp_path: Path) -> None:
    reader = ImageFileReader("mask")
    for record in load(decathlon(tmp_path), planes="all"):
        address = Address.of(record["label"])
        mask, _ = reader.get_data(reader.read(record["label"]))
        stack = open_stack(address.file, str(address.plane)).slices
        assert mask.any() and np.array_equal(mask, stack[address.index] == address.labels[0])


def test_a_record_for_each_slice(tmp_path: Path) -> None:
    records = load(decathlon(tmp_path), multi_prompt=True, context=1)
    assert [len(record["label"]) for record in records[:11]] == [1] * 4 + [2] * 4 + [1] * 3
    both = records[4]
    assert both["image"].endswith("a.nii.gz::axial=6::context=1") and both["name"] == "a_axial_06"
    assert both["structure"] == ["liver", "kidney_left"]
    assert [Address.of(label).labels for label in both["label"]] == [(1,), (2,)]


def test_few_pixels_are_left_out_of_training_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lists = DataLists(decathlon(tmp_path), seed=3)
    few, all_of_them = lists.load("train", min_pixels=10, absent=True), lists.load("train")
    assert len(all_of_them) - len(few) == 2 * 4
    assert "left out, 8 masks of fewer than 10 pixels (min_pixels)" in caplog.text
    with pytest.raises(DatasetProblems, match=r"train: expected at least one mask of 999 pixels or more .*found none"):
        lists.load("train", min_pixels=999)
    last = [record for record in few if record["case"] == "a"][-1]
    assert last["image"].endswith("axial=11")
    assert [one["structure"] for one in last["absent"]] == ["liver"]
    assert all(not record["absent"] for record in few if record["image"].endswith("axial=7"))


def test_a_class_of_few_pixels_is_not_absent(tmp_path: Path) -> None:
    array = label_map()
    array[5, 9:12, 3] = 2
    folder = decathlon(tmp_path)
    save_nifti(array, folder / "labelsTr/a.nii.gz")
    records = [
        one for one in DataLists(folder).load("train", 10, absent=True) if one["image"].endswith("a.nii.gz::axial=3")
    ]
    assert [(one["structure"], one["absent"]) for one in records] == [("liver", [])]


@pytest.mark.parametrize("multi_prompt", [True, False])
def test_all_classes_in_all_slices(tmp_path: Path, multi_prompt: bool) -> None:
    records = load(decathlon(tmp_path, "ab"), "val", all_slices=True, multi_prompt=multi_prompt)
    assert len(records) == SIZE * (1 if multi_prompt else 2)
    places = [int(Address.of(record["image"]).index or 0) for record in records]
    assert places == sorted(places) and set(places) == set(range(SIZE))


def test_planes_are_those_of_a_radiologist(tmp_path: Path) -> None:
    records = load(decathlon(tmp_path, "ab"), planes="all")
    assert {Address.of(record["image"]).plane for record in records} == {"axial", "coronal", "sagittal"}
    sagittal = [one for one in records if "::sagittal" in one["label"] and one["structure"] == "kidney_left"]
    # the first axis of the file points to the patient's left, as sagittal slices go
    assert [Address.of(one["image"]).index for one in sagittal] == [5, 6, 7]


def test_no_labelled_tests(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = decathlon(tmp_path)
    assert load(folder, "test") == load(folder, "val")
    assert "no labelled test cases: those of the validation are taken" in caplog.text
    own = decathlon(tmp_path / "own", test=[entry("e")], training=[entry(name) for name in "abcd"])
    assert names_of(load(own, "test")) == ["e"]


@pytest.mark.parametrize("key", ["test", "testing"])
def test_folds(tmp_path: Path, key: str) -> None:
    cases = [entry(name, fold=number % 3) for number, name in enumerate("abcde")]
    folder = decathlon(tmp_path, training=cases, file="datalist.json", **{"test": None, key: [{"image": "./t.nii.gz"}]})
    assert names_of(load(folder, "val", fold=1)) == ["b", "e"]
    assert names_of(load(folder, "train", fold=1)) == ["a", "c", "d"]
    assert names_of(load(folder, "val")) == ["a", "d"]  # the first, where none is given
    with pytest.raises(UserError, match=r"datalist\.json has no fold 3, its folds are 0, 1, 2$"):
        load(folder, "val", fold=3)
    with pytest.raises(UserError, match=r"dataset\.json has no fold 0, nor any other fold$"):
        load(decathlon(tmp_path / "other"), fold=0)


@pytest.mark.parametrize(
    "names", [["liver", "kidney_left"], [{"name": "liver", "index": [1]}, {"name": "both", "index": [1, 2]}]]
)
def test_auto3dseg_task(tmp_path: Path, names: Any) -> None:
    data = decathlon(tmp_path / "data", file="none.txt")
    task = tmp_path / "task"
    task.mkdir()
    (task / "folds.json").write_text(json.dumps({"training": [entry(n, fold=i % 2) for i, n in enumerate("abcde")]}))
    (task / "task.yaml").write_text(
        json.dumps({"modality": "CT", "datalist": "folds.json", "dataroot": str(data), "class_names": names})
    )
    for place in (task, task / "task.yaml"):
        records = load(place, "val", fold=1)
        assert names_of(records) == ["b", "d"]
        assert records[0]["image"].startswith(str(data))
    assert {one["structure"] for one in records} == {"liver", "kidney_left" if names[0] == "liver" else "both"}
    if names[0] != "liver":
        assert {one["structure"]: Address.of(one["label"]).labels for one in records}["both"] == (1, 2)


def test_a_file_is_a_dataset_too(tmp_path: Path) -> None:
    folder = decathlon(tmp_path)
    assert load(folder / "dataset.json") == load(folder)


def test_two_lists_in_a_folder(tmp_path: Path) -> None:
    folder = decathlon(decathlon(tmp_path), file="other.json")
    with pytest.raises(UserError, match=r"several lists of cases, dataset\.json, other\.json: give one of these files"):
        load(folder)
    assert load(folder / "other.json")


def test_one_of_several_tasks(tmp_path: Path) -> None:
    for task in ("Task03_Liver", "Task09_Spleen"):
        decathlon(tmp_path / task)
    assert load(tmp_path, dataset="Task09_Spleen")[0]["dataset"] == "Task09_Spleen"
    with pytest.raises(UserError, match=r"several datasets.*Task03_Liver, Task09_Spleen"):
        load(tmp_path)


def test_a_file_for_each_channel(tmp_path: Path) -> None:
    folder = decathlon(tmp_path, modality={"0": "T1", "1": "FLAIR"})
    table = json.loads((folder / "dataset.json").read_text())
    for name, one in zip("abcde", table["training"], strict=True):
        save_nifti(volume(9), folder / f"imagesTr/{name}_flair.nii.gz")
        one["image"] = [one["image"], f"imagesTr/{name}_flair.nii.gz"]
    (folder / "dataset.json").write_text(json.dumps(table))
    with pytest.raises(UserError, match=r"a\.nii\.gz: 2 channels, 0 \(T1\), 1 \(FLAIR\): choose one, such as"):
        load(folder)
    for channel in (1, "1", "flair"):
        record = load(folder, channel=channel)[0]
        assert Address.of(record["image"]).file.endswith("a_flair.nii.gz") and record["case"] == "a"
    with pytest.raises(UserError, match=r"no channel T2, there are 0 \(T1\), 1 \(FLAIR\)"):
        load(folder, channel="T2")


def test_volumes_of_a_4d_file(tmp_path: Path) -> None:
    folder = decathlon(tmp_path, modality={"0": "T1", "1": "FLAIR"})
    for name in "abcde":
        save_nifti(np.stack([volume(1), volume(2)], axis=-1), folder / f"imagesTr/{name}.nii.gz")
    with pytest.raises(UserError, match=r"2 channels, 0 \(T1\), 1 \(FLAIR\): choose one"):
        load(folder)
    assert load(folder, channel="FLAIR")[0]["image"].endswith("a.nii.gz::axial=2::channel=1")


FAULTS: list[tuple[dict[str, Any], str]] = [
    (
        {"training": [entry("a"), {"image": "../secret.nii.gz", "label": "x"}]},
        r"training 2 \(\.\./secret.nii.gz\): expected image to lie in .*, found '\.\./secret",
    ),
    ({"training": [{"image": "/etc/passwd", "label": "x"}]}, "expected image to lie in .*, found '/etc/passwd'"),
    ({"training": [entry("a") | {"label": "./labelsTr/../../b.nii.gz"}]}, "expected label to lie in"),
    ({"training": [{"image": "imagesTr/a.nii.gz"}]}, "training 1 .*: expected the keys image, label, found no label"),
    (
        {"training": [entry("a"), entry("a")]},
        r"training 2: expected each image once, found .*a\.nii\.gz, as training 1 has",
    ),
    ({"validation": [entry("b")]}, "validation 1: expected each image once"),
    ({"training": [entry("a", fold="one")]}, "expected fold to be a whole number from 0 on, found 'one'"),
    ({"validation": {"a": 1}}, "validation: expected a list of cases, found dict"),
    ({"training": [3]}, "training 1: expected a table with image, label, found 3"),
    ({"test": [3]}, r"test 1 \(3\): expected image to be a path, found 3"),
]


@pytest.mark.parametrize(("changes", "message"), FAULTS)
def test_faulty_entries(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetProblems, match=message):
        load(decathlon(tmp_path, **changes))


def test_paths_that_stay_in_the_folder(tmp_path: Path) -> None:
    cases = [
        entry("a"),
        entry("b") | {"image": "imagesTr/../imagesTr/b.nii.gz"},
        entry("c") | {"image": r".\imagesTr\c.nii.gz"},
    ]
    records = load(decathlon(tmp_path, training=cases), planes="axial")
    assert {Address.of(one["image"]).file for one in records} <= {str(tmp_path / f"imagesTr/{n}.nii.gz") for n in "abc"}


def test_files_of_macos_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = decathlon(tmp_path, training=[entry("a"), entry("._a"), entry("b"), entry("._b")])
    with caplog.at_level(logging.INFO):
        assert {*names_of(load(folder)), *names_of(load(folder, "val"))} == {"a", "b"}
    assert "dataset.json: left out 2 files ._*, which macOS wrote into the archive" in caplog.text


def test_cases_of_one_name_get_their_folders(tmp_path: Path) -> None:
    for part in ("p1", "p2"):
        decathlon(tmp_path / part, "a", file="none.txt")
    cases = [
        {"image": f"{part}/imagesTr/a.nii.gz", "label": f"{part}/labelsTr/a.nii.gz", "patient": part}
        for part in ("p1", "p2")
    ]
    (tmp_path / "dataset.json").write_text(json.dumps({"training": cases, "labels": LABELS}))
    records = load(tmp_path) + load(tmp_path, "val")
    assert {one["case"]: one["patient"] for one in records} == {"p1_imagesTr_a": "p1", "p2_imagesTr_a": "p2"}
    assert len({one["name"] for one in records}) == len(records)


def test_numbers_without_a_name_are_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    records = load(decathlon(tmp_path, labels={"0": "background", "1": "liver"}))
    assert {record["structure"] for record in records} == {"liver"}
    assert "left out, label 2 without a name (in" in caplog.text
    assert 'write what each is, "labels": {"2": "NAME"}, into dataset.json or labels.json beside it' in caplog.text


def test_a_name_without_voxels_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load(decathlon(tmp_path, labels={**LABELS, "3": "tumour"}))
    assert "dataset.json, train: tumour is in none of the label maps" in caplog.text


def test_no_table_of_labels(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'none; write what each is, "labels": \{"1": "NAME", "2": "NAME"\}, into'):
        load(decathlon(tmp_path, labels=None))


def test_files_as_nnunet_1_calls_them(tmp_path: Path) -> None:
    folder = decathlon(tmp_path, "ab")
    for name in "ab":
        (folder / f"imagesTr/{name}.nii.gz").rename(folder / f"imagesTr/{name}_0000.nii.gz")
    records = load(folder) + load(folder, "val")
    assert {Address.of(one["image"]).file for one in records} == {
        str(folder / f"imagesTr/{name}_0000.nii.gz") for name in "ab"
    }
    assert set(names_of(records)) == {"a", "b"}


def test_ones_own_lists_go_before(tmp_path: Path) -> None:
    """Slices that somebody cut out, with lists, in the folder that they are from."""
    folder = decathlon(tmp_path)
    save(square(), folder / "images/1.png")
    rows = [{"image": "images/1.png", "mask": "images/1.png", "prompt": "liver"}]
    (folder / "train.json").write_text(json.dumps(rows))
    assert [record["image"] for record in load(folder)] == [str(folder / "images/1.png")]
    (folder / "train.json").write_text((folder / "dataset.json").read_text())
    (folder / "dataset.json").unlink()
    assert len(names_of(load(folder))) == 4  # what a list is, its content says
