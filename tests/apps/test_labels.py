# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Saved labels become training records with their own prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import itk
import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from monai_vlsm.apps.label import image_records, label_prompts, read_records
from monai_vlsm.data import ImageFileReader, check_records
from monai_vlsm.data.volumes import Address
from monai_vlsm.errors import UserError
from tests.data.files import save_dicom, write_dicom

AFFINE = np.array([[0.0, 2, 0, 1], [-3, 0, 0, 2], [0, 0, 4, 3], [0, 0, 0, 1]])  # axes turned, one mirrored


@pytest.mark.parametrize(
    ("info", "prompts"),
    [
        ({"prompt": "white matter"}, {0: "white matter"}),
        ({"params": {"prompt": "white matter"}}, {0: "white matter"}),
        ({"prompt": "a", "params": {"prompt": "b"}, "label_info": [{"name": "c", "idx": 1}]}, {0: "a"}),
        ({"label_info": [{"name": "polyp", "idx": 1}, {"name": "tool", "idx": 2}]}, {1: "polyp", 2: "tool"}),
        ({"label_info": [{"name": "tool", "idx": "x"}]}, {1: "tool"}),
        ({"prompt": "$1/0"}, {0: "$1/0"}),
    ],
)
def test_prompt_of_a_label(info: dict[str, Any], prompts: dict[int, str]) -> None:
    assert label_prompts(info, "brain") == prompts


@pytest.mark.parametrize(
    "info",
    [{}, {"prompt": ""}, {"prompt": 7}, {"label_info": [{"name": "prompt", "idx": 1}]}, {"label_info": [3]}],
)
def test_label_without_prompt(info: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    assert label_prompts(info, "brain", "label of scan_1") == {0: "brain"}
    assert "label of scan_1 was saved without a prompt; training takes the default prompt 'brain'" in caplog.text


def drawn_scan(folder: Path) -> tuple[str, np.ndarray]:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (8, 12, 3), dtype=np.uint8)).save(folder / "scan.png")
    mask = np.zeros((8, 12), np.uint8)
    mask[1:3, 2:9] = 1
    return str(folder / "scan.png"), mask


def write_label(folder: Path, kind: str, mask: np.ndarray) -> str:
    """A label as clients of MONAI Label write it."""
    path = folder / f"label{kind}"
    if kind == ".png":
        Image.fromarray(mask).save(path)
    elif kind == ".nii.gz":
        nib.save(nib.Nifti1Image(mask.T[..., None], np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    else:
        itk.imwrite(itk.image_from_array(np.ascontiguousarray(mask[None])), str(path))
    return str(path)


def saved_mask(record: dict[str, str]) -> np.ndarray:
    return np.asarray(Image.open(record["label"]))


def read(record: dict[str, str], key: str, mode: str = "image") -> np.ndarray:
    """A slice as training reads it."""
    reader = ImageFileReader(mode)
    return reader.get_data(reader.read(record[key]))[0]


@pytest.mark.parametrize("kind", [".png", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("high", [1, 255])
def test_labels_of_an_image(tmp_path: Path, kind: str, high: int) -> None:
    image, mask = drawn_scan(tmp_path)
    label = write_label(tmp_path, kind, mask * (high if kind == ".png" else 1))
    (record,) = image_records(image, label, {0: "polyp"}, tmp_path)
    assert record["prompt"] == "polyp"
    assert np.array_equal(saved_mask(record), mask)
    assert np.array_equal(np.asarray(Image.open(record["image"])), np.asarray(Image.open(image)))
    assert check_records([record]) == []


def test_an_image_has_the_window_of_its_file(tmp_path: Path) -> None:
    """As inference shows it."""
    file, array = tmp_path / "a.dcm", np.arange(63, dtype=np.uint16).reshape(7, 9) * 20
    data = pydicom.dcmread(save_dicom(array, file))  # slope 2, intercept -10
    data.WindowCenter, data.WindowWidth = 400.5, 801
    write_dicom(data, file)
    label = write_label(tmp_path, ".png", (array > 300).astype(np.uint8))
    (record,) = image_records(str(file), label, {0: "polyp"}, tmp_path)
    shown = ((array * 2.0 - 10) / 800).clip(0, 1) * 255
    assert np.abs(np.asarray(Image.open(record["image"]))[..., 0] - shown).max() <= 0.5


def test_each_segment_is_a_record(tmp_path: Path) -> None:
    image, mask = drawn_scan(tmp_path)
    mask[5:7, 5:7] = 2
    first, second = image_records(image, write_label(tmp_path, ".png", mask), {1: "polyp", 2: "tool"}, tmp_path)
    assert (first["prompt"], saved_mask(first).sum()) == ("polyp", 14)
    assert (second["prompt"], saved_mask(second).sum()) == ("tool", 4)


@pytest.mark.parametrize("kind", [".nii.gz", ".nrrd"])
def test_volume_gives_an_image_for_each_labelled_slice(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(6, 8, 5)).astype(np.float32)
    labels = np.zeros((6, 8, 5), np.uint8)
    labels[1:3, 2:6, 3] = 1
    nib.save(nib.Nifti1Image(volume, AFFINE), tmp_path / "scan.nii.gz")
    if kind == ".nrrd":
        itk.imwrite(itk.image_from_array(np.ascontiguousarray(labels.T)), str(tmp_path / "label.nrrd"))
    else:
        nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "label.nii.gz")
    (record,) = image_records(str(tmp_path / "scan.nii.gz"), str(tmp_path / f"label{kind}"), {0: "x"}, tmp_path)
    # rows go to the back, which is where the first axis goes; columns to the left, against the second
    assert np.array_equal(read(record, "label", "mask"), labels[:, ::-1, 3])
    assert np.array_equal(read(record, "image"), volume[:, ::-1, 3])
    assert check_records([record]) == []


def test_segments_of_a_volume_in_another_plane(tmp_path: Path) -> None:
    labels = np.zeros((6, 8, 5), np.uint8)
    labels[1:3, 2:6, 3], labels[4, 4, 0] = 1, 2
    nib.save(nib.Nifti1Image(labels * 9.5, AFFINE), tmp_path / "scan.nii.gz")
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "label.nii.gz")
    names = str(tmp_path / "scan.nii.gz"), str(tmp_path / "label.nii.gz")
    records = image_records(*names, {1: "polyp", 2: "tool", 3: "nothing"}, tmp_path, "sagittal")
    near = image_records(*names, {1: "polyp"}, tmp_path, "sagittal", context=1)
    assert [Address.of(record["image"]).context for record in near] == [1] * 4
    # slices go to the patient's left, against the second axis; rows to the feet, columns to the back
    found = [(record["prompt"], Address.of(record["image"]).index) for record in records]
    assert found == [*(("polyp", index) for index in (2, 3, 4, 5)), ("tool", 3)]
    assert np.array_equal(read(records[-1], "label", "mask"), (labels == 2)[:, 4, ::-1].T)


def test_a_volume_of_one_slice(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(6, 1, 5))
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "scan.nii.gz")
    nib.save(nib.Nifti1Image((volume > 1).astype(np.uint8), np.eye(4)), tmp_path / "label.nii.gz")
    (record,) = image_records(str(tmp_path / "scan.nii.gz"), str(tmp_path / "label.nii.gz"), {0: "x"}, tmp_path)
    assert read(record, "label", "mask").shape == (5, 6)  # coronal: from head to feet, and from right to left
    assert read(record, "label", "mask").sum() == (volume > 1).sum()


def test_faults(tmp_path: Path) -> None:
    image, mask = drawn_scan(tmp_path)
    with pytest.raises(ValueError, match=r"label\.png has the size .* its image scan\.png"):
        image_records(image, write_label(tmp_path, ".png", mask[:5]), {0: "x"}, tmp_path)
    (tmp_path / "broken.nrrd").write_text("NRRD")
    with pytest.raises(UserError, match="cannot read the label"):
        image_records(image, str(tmp_path / "broken.nrrd"), {0: "x"}, tmp_path)
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(UserError, match=r"no\.png"):
        image_records(str(tmp_path / "no.png"), write_label(tmp_path, ".png", mask), {0: "x"}, tmp_path)


def test_records_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text('[{"image": "a.png", "label": "b.png", "prompt": "$1/0"}]')
    assert read_records(tmp_path / "list.json")[0]["prompt"] == "$1/0"
