# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One's own lists with label maps: tables in the list, beside it and in a record; colours; volumes; no validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_vlsm.data import DataLists, DatasetProblems, PictureReader, check_records, load_datalist
from monai_vlsm.data.audit import audit_dataset
from monai_vlsm.data.volumes import Address
from monai_vlsm.errors import UserError
from tests.data.files import save, save_nifti, square
from tests.data.lists.folders import label_map, names_of, volume

LABELS = {"3": "cyst", "1": "liver", "2": {"p1": "tumour", "p7": ["tumour which is dark"]}}
RED, GREEN = (255, 0, 0), (0, 128, 0)


def numbers(folder: Path, count: int = 1) -> np.ndarray:
    """Images 0.png, 1.png, ... and label maps of 1 and 2; what a map holds."""
    labels = np.zeros((40, 60), np.uint8)
    labels[4:20, 5:30], labels[10, 10] = 1, 2
    for index in range(count):
        save(square(value=100 + index), folder / f"images/{index}.png")
        save(labels, folder / f"masks/{index}.png")
    return labels


def row(index: int = 0, **more: Any) -> dict[str, Any]:
    return {"image": f"images/{index}.png", "mask": f"masks/{index}.png", **more}


def write(file: Path, content: Any) -> Path:
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file.parent


def loaded(record: dict[str, Any]) -> np.ndarray:
    reader = PictureReader("mask")
    return reader.get_data(reader.read(record["label"]))[0]


@pytest.mark.parametrize("where", ["list", "beside", "beside, within labels", "csv", "record", "structure"])
def test_where_a_table_may_stand(where: str, tmp_path: Path) -> None:
    labels = numbers(tmp_path)
    if where == "list":
        write(tmp_path / "train.json", {"labels": LABELS, "records": [row()]})
    elif where == "record":
        write(tmp_path / "train.json", [row(labels=LABELS)])
    elif where == "structure":
        mask = {"mask": "masks/0.png", "labels": LABELS}
        write(tmp_path / "train.json", [{"image": "images/0.png", "structures": [mask]}])
    else:
        write(tmp_path / "labels.json", {"labels": LABELS} if "within" in where else LABELS)
        table = "image,mask\nimages/0.png,masks/0.png\n"
        write(tmp_path / "train.csv", table) if where == "csv" else write(tmp_path / "train.json", [row()])
    liver, tumour = records = load_datalist(tmp_path, "train")
    assert [record["structure"] for record in records] == ["liver", "tumour"]
    assert liver["label"] == f"{tmp_path / 'masks/0.png'}::label=1" and liver["case"] == ""
    assert tumour["prompt"] == {"p1": "tumour", "p7": ["tumour which is dark"]}
    assert (liver["name"], liver["image_id"]) == ("0_liver", "0")
    assert liver["patient"] == ""  # nobody says so: images of one patient are not counted as several
    for record, label in zip(records, (1, 2), strict=True):  # a lesion of one pixel stays
        assert np.array_equal(loaded(record) > 0, labels == label)
    assert len(DataLists(tmp_path, make_split=False).load("train", min_pixels=10, all_slices=True)) == 2


def test_colours(tmp_path: Path) -> None:
    mask = np.zeros((40, 60, 3), np.uint8)
    mask[2:6, 3:9], mask[20:30, 3:9] = RED, GREEN
    save(square(value=90), tmp_path / "images/0.png")
    save(mask, tmp_path / "masks/0.png")
    write(
        tmp_path / "train.json",
        {"labels": {"#ff0000": "artery", "#008000": "vein", "#0000ff": "nerve"}, "records": [row()]},
    )
    records = load_datalist(tmp_path, "train")
    assert [record["label"].rpartition("::")[2] for record in records] == ["colour=ff0000", "colour=008000"]
    for record, colour in zip(records, (RED, GREEN), strict=True):
        assert np.array_equal(loaded(record) > 0, (mask == colour).all(axis=-1))


def test_a_prompt_goes_before_the_table(tmp_path: Path) -> None:
    numbers(tmp_path)
    save(square(), tmp_path / "masks/whole.png")
    structures = [{"mask": "masks/whole.png", "prompt": "body"}, {"mask": "masks/0.png"}]
    write(tmp_path / "train.json", {"labels": LABELS, "records": [{"image": "images/0.png", "structures": structures}]})
    records = load_datalist(tmp_path, "train")
    assert [record["prompt"]["p1"] for record in records] == ["body", "liver", "tumour"]
    assert records[0]["label"] == str(tmp_path / "masks/whole.png")


def test_volumes_in_ones_own_list(tmp_path: Path) -> None:
    """Label maps and masks of their own beside each other, which may overlap."""
    save_nifti(volume(), tmp_path / "a.nii.gz")
    save_nifti(label_map(), tmp_path / "a_labels.nii.gz")
    save_nifti((label_map() > 0).astype(np.uint8), tmp_path / "a_all.nii.gz")
    structures = [
        {"mask": "a_labels.nii.gz", "labels": {"1": "liver", "2": "kidney"}},
        {"mask": "a_all.nii.gz", "prompt": "organs"},
    ]
    write(tmp_path / "train.json", [{"image": "a.nii.gz", "patient": "p7", "structures": structures}])
    records = load_datalist(tmp_path, "train", multi_prompt=True)
    assert len(records) == 11 and names_of(records) == ["a"] and records[0]["patient"] == "p7"
    assert records[5]["structure"] == ["liver", "kidney", "organs"]
    assert [Address.of(mask).labels for mask in records[5]["label"]] == [(1,), (2,), ()]
    assert check_records(records) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"labels": {"1": "1"}, "records": []}, "expected a name for the label 1"),
        ({"labels": LABELS, "records": {}}, "expected a JSON list of records, found dict"),
        ([row()], "expected the keys image, mask, prompt, found no prompt .*name their numbers in labels.json"),
        ([row(labels={"x": "y"})], "record 1 .*found 'x': 'y'"),
        (
            [{"image": "images/0.png", "mask": "masks/none.png", "labels": LABELS}],
            "none.png: expected a file, found nothing",
        ),
    ],
)
def test_faults(content: Any, message: str, tmp_path: Path) -> None:
    numbers(tmp_path)
    with pytest.raises(DatasetProblems, match=message):
        load_datalist(write(tmp_path / "train.json", content), "train")


def test_a_csv_of_label_maps_without_a_table(tmp_path: Path) -> None:
    numbers(tmp_path)
    with pytest.raises(DatasetProblems, match=r"found image,mask; .*numbers in labels\.json"):
        load_datalist(write(tmp_path / "train.csv", "image,mask\nimages/0.png,masks/0.png\n"), "train")


def test_a_lone_list_is_split_by_patient(tmp_path: Path) -> None:
    numbers(tmp_path, 10)
    rows = [row(index, labels=LABELS, patient=f"p{index // 2}") for index in range(10)]
    lists = DataLists(write(tmp_path / "train.json", rows), seed=1)
    train, val = ({record["patient"] for record in lists.load(split)} for split in ("train", "val"))
    assert len(val) == 1 and len(train) == 4 and not train & val
    assert {record["patient"] for record in load_datalist(tmp_path, "train")} == train | val
    with pytest.raises(UserError, match="unknown split 'val'"):
        load_datalist(tmp_path, "val")
    with pytest.raises(UserError, match="has no folds but the lists train: leave fold out"):
        DataLists(tmp_path, fold=1).load("train")
    write(tmp_path / "val.json", rows[:2])
    assert len(DataLists(tmp_path).load("train")) == 20


def test_data_check_takes_label_maps(tmp_path: Path) -> None:
    numbers(tmp_path, 2)
    write(tmp_path / "train.json", {"labels": LABELS, "records": [row(0)]})
    write(tmp_path / "val.json", {"labels": LABELS, "records": [row(1)]})
    audit = audit_dataset(tmp_path)
    assert [(c.split, c.records, c.images) for c in audit.counts] == [("train", 2, 1), ("val", 2, 1)]
    assert [finding for finding in audit.findings if finding.kind not in ("stray pixels",)] == []
    assert audit.patients == 0
