# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Image and mask lie at one place in the patient: the same rule for every pair, in every tool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from monai_vlsm.data import DatasetProblems, ImageFileReader, check_records, load_datalist, validate_records
from monai_vlsm.data.audit import audit_dataset
from monai_vlsm.data.findings import KINDS
from tests.data.files import save, save_dicom, square

LPS, RAS = np.diag([-1.0, -1, 1, 1]), np.eye(4)
VOXELS = np.zeros((64, 48, 1), np.uint8)
VOXELS[8:20, 8:20] = 1


def nifti(path: Path, affine: np.ndarray | None, voxels: np.ndarray = VOXELS, code: int = 1) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    if affine is not None:
        image.set_sform(affine, code)
        image.set_qform(affine, code)
    nib.save(image, path)
    return path


def moved(affine: np.ndarray, *offset: float) -> np.ndarray:
    result = affine.copy()
    result[:3, 3] += offset
    return result


def scaled(*factors: float) -> np.ndarray:
    return np.diag([*factors, 1.0])


def swapped() -> np.ndarray:
    return np.array([[0.0, -1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


PAIRS: dict[str, tuple[np.ndarray, np.ndarray, str | None]] = {
    "the same": (LPS, LPS, None),
    "rounded": (scaled(0.703125, 0.703125, 5), scaled(0.7031, 0.7031, 5), None),
    "a third of a pixel": (RAS, moved(RAS, 0.3, 0, 0), None),
    "identity for the mask": (LPS, RAS, "up to 63.0 pixels away, axes to RAS instead of LPS"),
    "identity for the image": (RAS, LPS, "up to 63.0 pixels away, axes to LPS instead of RAS"),
    "left and right": (RAS, scaled(-1, 1, 1), "axes to LAS instead of RAS"),
    "front and back": (RAS, scaled(1, -1, 1), "axes to RPS instead of RAS"),
    "another origin": (RAS, moved(RAS, 3, 0, 0), "up to 3.0 pixels away"),
    "another slice": (scaled(1, 1, 5), moved(scaled(1, 1, 5), 0, 0, 5), "up to 1.0 pixels away"),
    "another spacing": (scaled(0.7, 0.7, 1), RAS, r"up to 27\.0 pixels away$|up to 27\.0 pixels away;"),
}


@pytest.mark.parametrize(("image", "mask", "found"), PAIRS.values(), ids=PAIRS)
def test_two_nifti_files(image: np.ndarray, mask: np.ndarray, found: str | None, tmp_path: Path) -> None:
    record = {"image": str(nifti(tmp_path / "i.nii.gz", image)), "label": str(nifti(tmp_path / "m.nii.gz", mask))}
    problems = check_records([record])
    if found is None:
        assert problems == []
        return
    (problem,) = problems
    assert problem.file == record["label"]
    assert problem.expected == "the place of its image i.nii.gz within 0.5 pixels"
    with pytest.raises(DatasetProblems, match=found):
        validate_records([record])
    assert "affine" in problem.found


def test_turned_voxels_with_a_turned_affine_are_the_same_place(tmp_path: Path) -> None:
    image = nifti(tmp_path / "i.nii", LPS)
    turned = VOXELS[::-1]
    mask = nifti(tmp_path / "m.nii", np.array([[1.0, 0, 0, -63], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), turned)
    assert check_records([{"image": str(image), "label": str(mask)}]) == []
    reader = ImageFileReader("mask", flat=True)
    np.testing.assert_array_equal(*(reader.get_data(reader.read(path))[0] for path in (image, mask)))


def test_another_plane_of_the_same_size(tmp_path: Path) -> None:
    square_slice = np.ascontiguousarray(VOXELS[:48])
    image = nifti(tmp_path / "i.nii", RAS, square_slice)
    mask = nifti(tmp_path / "m.nii", RAS, np.moveaxis(square_slice, 2, 0))
    (problem,) = check_records([{"image": str(image), "label": str(mask)}])
    assert "an affine that puts it up to" in problem.found


@pytest.mark.parametrize(("axes", "told"), [(LPS, True), (scaled(-1, 1, 1), False)], ids=["turned", "alike"])
def test_a_mask_that_does_not_say_how_it_lies(axes: np.ndarray, told: bool, tmp_path: Path) -> None:
    """Then it is turned by a rule of NIfTI, as if its axes pointed to the left, front and top."""
    image, mask = nifti(tmp_path / "i.nii", axes), nifti(tmp_path / "m.nii", RAS, code=0)
    problems = check_records([{"image": str(image), "label": str(mask)}])
    assert [problem.found.partition(";")[0] for problem in problems] == (
        ["axes to LAS instead of LPS, where one file does not say how it lies"] if told else []
    )


def dicom(path: Path, **changes: Any) -> Path:
    save_dicom(np.ascontiguousarray(VOXELS[:, :, 0].T), path)
    data = pydicom.dcmread(path)
    data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
    data.PixelSpacing = [1, 1]
    for name, value in changes.items():
        setattr(data, name, value)
    data.save_as(path)
    return path


@pytest.mark.parametrize(
    ("changes", "affine", "far"),
    [
        ({}, LPS, None),
        ({}, RAS, "up to 63.0 pixels away"),
        ({"ImagePositionPatient": [10, 0, 0]}, LPS, "up to 10.0 pixels away"),
        ({"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]}, LPS, "up to 126.0 pixels away"),
        ({"ImageOrientationPatient": None}, RAS, None),  # it does not say where it lies
    ],
)
def test_dicom_with_a_nifti_mask(changes: dict[str, Any], affine: np.ndarray, far: str | None, tmp_path: Path) -> None:
    record = {"image": str(dicom(tmp_path / "i.dcm", **changes)), "label": str(nifti(tmp_path / "m.nii", affine))}
    problems = check_records([record])
    assert [far in problem.found for problem in problems if far] == ([True] if far else [])
    assert len(problems) == (far is not None)


def test_images_have_no_place(tmp_path: Path) -> None:
    volume, flat = nifti(tmp_path / "v.nii", LPS), save(VOXELS[:, :, 0].T * 255, tmp_path / "p.png")
    pairs = [(volume, flat), (flat, volume), (flat, flat)]
    assert check_records([{"image": str(image), "label": str(mask)} for image, mask in pairs]) == []


def listed(folder: Path, image: np.ndarray, mask: np.ndarray) -> Path:
    nifti(folder / "i.nii", image)
    nifti(folder / "m.nii", mask)
    (folder / "train.csv").write_text("image,mask,prompt\ni.nii,m.nii,lesion\n")
    return folder


def test_every_tool_tells(tmp_path: Path) -> None:
    root = listed(tmp_path, LPS, RAS)
    with pytest.raises(DatasetProblems, match="an affine that puts it") as caught:
        load_datalist(root, "train")
    (finding,) = (finding for finding in audit_dataset(root).findings if KINDS[finding.kind][0] == "error")
    assert (finding.kind, finding.file) == ("affine", "m.nii")
    assert caught.value.problems[0].found in finding.detail


def test_sform_and_qform_that_disagree(tmp_path: Path) -> None:
    root = listed(tmp_path, LPS, LPS)
    for name in ("i.nii", "m.nii"):
        image = nib.Nifti1Image(VOXELS, None)
        image.set_sform(LPS, 1)
        image.set_qform(RAS if name == "m.nii" else LPS, 1)
        nib.save(image, root / name)
    audit = audit_dataset(root)
    assert [(f.kind, f.file) for f in audit.findings] == [("two affines", "m.nii")]
    assert audit.status == 1
    nifti(root / "i.nii", RAS)
    (problem,) = check_records([{"image": str(root / "i.nii"), "label": str(root / "m.nii")}])
    assert "(sform and qform disagree in one of the files; the sform counts)" in problem.found


@pytest.mark.parametrize(
    "affine",
    [
        scaled(1, 1, 0),
        np.full((4, 4), np.nan),
        np.array([[1.0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
        np.zeros((4, 4)),
    ],
    ids=["flat", "nan", "two alike", "zero"],
)
@pytest.mark.parametrize("slices", [1, 4])
def test_singular_affines(affine: np.ndarray, slices: int, tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.repeat(VOXELS, slices, axis=2), np.eye(4))
    image.header["srow_x"], image.header["srow_y"], image.header["srow_z"] = affine[:3]
    image.header["sform_code"] = 1
    path = tmp_path / "v.nii"
    path.write_bytes(image.header.binaryblock + b"\0" * 4 + image.dataobj.tobytes("F"))
    (problem,) = check_records([{"image": str(path), "prompt": "brain"}])
    assert problem.expected == "a readable image"
    assert problem.found.startswith("a singular affine, [[") and problem.found.endswith(
        "; write one that maps three axes"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["v.nii.gz", "p.tif"])
def test_images_without_any_number(value: float, name: str, tmp_path: Path) -> None:
    array = np.full((5, 6, 3) if name == "v.nii.gz" else (5, 6), value, np.float32)
    path = nifti(tmp_path / name, RAS, array) if name == "v.nii.gz" else save(array, tmp_path / name)
    (problem,) = check_records([{"image": str(path), "prompt": "brain"}])
    assert str(problem) == f"{path}: expected values, found none: all are NaN (not a number) or infinite"
    array[0, 0] = 1
    nifti(path, RAS, array) if name == "v.nii.gz" else save(array, path)
    assert check_records([{"image": str(path), "prompt": "brain"}]) == []


def test_a_mask_in_the_opacity(tmp_path: Path) -> None:
    """What is opaque is the structure: the check reads it as training does."""
    opacity = np.zeros((40, 60, 4), np.uint8)
    opacity[..., 3] = square()
    image, mask = save(square(value=99), tmp_path / "i.png"), save(opacity, tmp_path / "m.png")
    assert check_records([{"image": str(image), "label": str(mask)}]) == []
    opacity[..., 3], opacity[..., :3] = 0, (255, 0, 0)
    save(opacity, mask)
    (problem,) = check_records([{"image": str(image), "label": str(mask)}])
    assert problem.expected == "a readable mask" and "transparent all over" in problem.found
