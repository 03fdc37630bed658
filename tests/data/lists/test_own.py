# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One's own lists with label maps: tables in the list, beside it and in a record; colours; volumes; no validation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_vlsm.data import DataLists, DatasetProblems, ImageFileReader, check_records, load_datalist
from monai_vlsm.data.audit import audit_dataset
from monai_vlsm.data.audit_table import audit_json, audit_text
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
    reader = ImageFileReader("mask")
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


def test_data_check_counts_the_classes(tmp_path: Path) -> None:
    numbers(tmp_path, 2)
    other = np.zeros((40, 60), np.uint8)
    other[:2, :5], other[9, 9] = 2, 7
    save(other, tmp_path / "masks/1.png")
    write(tmp_path / "train.json", {"labels": LABELS, "records": [row(0)]})
    write(tmp_path / "val.json", {"labels": LABELS, "records": [row(1)]})
    audit = audit_dataset(tmp_path)
    assert [(c.split, c.records, c.images) for c in audit.counts] == [("train", 2, 1), ("val", 1, 1)]
    found = [(one.label, one.name, one.prompt, one.cases, one.slices, one.voxels) for one in audit.classes]
    assert found == [
        ("3", "cyst", "cyst", 0, 0, 0),
        ("1", "liver", "liver", 1, 1, 399),
        ("2", "tumour", "tumour", 2, 2, 11),
    ]
    kinds = {(one.kind, one.split, Path(one.file).name, one.detail) for one in audit.findings}
    assert kinds - {one for one in kinds if one[0] == "stray pixels"} == {
        ("class without voxels", "all", "cyst", "label 3"),
        ("label without a name", "val", "1.png", "7"),
    }
    assert (audit.patients, audit.status) == (0, 1)
    assert "label  name    prompt  cases  axial slices  voxels\n3      cyst " in audit_text(audit)
    assert audit_json(audit)["classes"][1]["voxels"] == 399


def test_data_check_goes_on_after_a_faulty_label_map(tmp_path: Path) -> None:
    numbers(tmp_path, 4)
    for index in (0, 2):
        (tmp_path / f"masks/{index}.png").write_bytes(b"")
    audit = audit_dataset(write(tmp_path / "train.json", [row(index, labels=LABELS) for index in range(4)]))
    assert audit.counts[0].records == 4 and [one.voxels for one in audit.classes] == [0, 798, 2]
    assert [Path(one.file).name for one in audit.findings if one.kind == "list"] == ["0.png", "2.png"]
    with pytest.raises(DatasetProblems, match=r"(?s)2 problems.*0\.png.*2\.png"):
        load_datalist(tmp_path, "train")


def test_data_check_of_label_maps_with_another_class(tmp_path: Path) -> None:
    numbers(tmp_path)
    audit = audit_dataset(write(tmp_path / "train.json", [row(labels={"8": "liver", "9": "cyst"})]))
    assert audit.status == 2 and audit.findings[0].detail == "none of its classes is in any of its label maps"
    assert "class without voxels\n  liver (label 8), cyst (label 9)\n" in audit_text(audit)
    assert "label without a name\n  1: in 1 label map (train), the first is " in audit_text(audit)


def test_one_name_each_for_numbers_of_two_tables(tmp_path: Path) -> None:
    numbers(tmp_path, 2)
    rows = [row(0, labels={"1": "liver", "2": "cyst"}), row(1, labels={"1": "spleen", "2": "cyst"})]
    audit = audit_dataset(write(tmp_path / "train.json", rows))
    found = [(one.label, one.name, one.cases, one.voxels) for one in audit.classes]
    assert found == [("1", "liver", 1, 399), ("2", "cyst", 2, 2), ("1", "spleen", 1, 399)]


def test_a_palette_whose_colours_have_names(tmp_path: Path) -> None:
    numbers(tmp_path)
    image = Image.fromarray(np.asarray(Image.open(tmp_path / "masks/0.png")), "P")
    image.putpalette([0, 0, 0, *RED, *GREEN])
    image.save(tmp_path / "masks/0.png")
    table = {"#ff0000": "artery", "#008000": "vein"}
    audit = audit_dataset(write(tmp_path / "train.json", [row(labels=table)]))
    assert [(one.label, one.voxels) for one in audit.classes] == [("#ff0000", 399), ("#008000", 1)]
    assert [one.kind for one in audit.findings if one.kind != "stray pixels"] == []


def test_what_two_splits_lack_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbers(tmp_path, 2)
    write(tmp_path / "labels.json", {"1": "liver", "5": "cyst", "6": "nerve"})
    for split, index in (("train", 0), ("val", 1)):
        write(tmp_path / f"{split}.json", [row(index)])
    lists = DataLists(tmp_path)
    assert len(lists.load("train")) == len(lists.load("val")) == 1
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"{tmp_path / 'train.json'}: left out, label 2 without a name (in {tmp_path / 'masks/0.png'}); write what each "
        'is, "labels": {"2": "NAME"}, into train.json or labels.json beside it',
        f"{tmp_path / 'train.json'}, train: cyst, nerve are in none of the label maps",
    ]


def test_what_only_one_split_lacks_is_said_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    numbers(tmp_path, 2)
    save(square(value=2), tmp_path / "masks/1.png")
    for split, index in (("train", 0), ("val", 1)):
        write(tmp_path / f"{split}.json", [row(index, labels=LABELS)])
    lists = DataLists(tmp_path)
    lists.load("train"), lists.load("val")
    assert [
        record.getMessage().partition(".json")[2] for record in caplog.records if record.levelname == "WARNING"
    ] == [
        ", train: cyst is in none of the label maps",
        ", val: liver is in none of the label maps",
    ]
