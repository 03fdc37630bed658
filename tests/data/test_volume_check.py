# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records of slices are checked by their volumes, each of which is looked at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from monai_vlsm.data import KnownFiles, check_records, probe_records, with_absent_prompts
from monai_vlsm.data.volumes import Address, open_stack

SHAPE = (8, 9, 10)
AFFINE = np.diag([-2.0, 3.0, 4.0, 1.0])
IMAGE = np.random.default_rng(0).integers(-1000, 1000, SHAPE).astype(np.int16)


def labels(dtype: str = "uint8") -> np.ndarray:
    """Liver in slices 2 to 5, one voxel of a tumour in slice 5."""
    array = np.zeros(SHAPE, dtype)
    array[2:6, 2:6, 2:6] = 1
    array[3, 3, 5] = 2
    return array


def save(array: np.ndarray, path: Path, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return save(IMAGE, tmp_path / "images" / "a.nii.gz")


@pytest.fixture
def label(tmp_path: Path) -> Path:
    return save(labels(), tmp_path / "labels" / "a.nii.gz")


def records(image: Path, label: Path, plane: str = "axial", slices: int = 10) -> list[dict[str, Any]]:
    """A record for each slice and class."""
    return [
        {
            "image": str(Address(str(image), plane, index)),
            "label": str(Address(str(label), plane, index, labels=(number,))),
            "prompt": {"p1": name},
            "name": f"{index}_{name}",
        }
        for index in range(slices)
        for number, name in ((1, "liver"), (2, "tumour"))
    ]


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_sound_volumes_are_read_once_for_check_absents_and_probes(
    plane: str, image: Path, label: Path, reads: list[str]
) -> None:
    files, found = KnownFiles(), records(image, label, plane, 8)
    assert check_records(found, files) == []
    absent = with_absent_prompts(found, 0.3, files=files)
    probes = probe_records(found, files=files)
    assert sorted(reads) == ["a.nii.gz"] * 2
    slices = np.asarray(open_stack(label, plane).slices)
    for record in absent:
        values = slices[Address.of(record["image"]).index]
        lacking = [{"p1": [name]} for number, name in ((1, "liver"), (2, "tumour")) if not (values == number).any()]
        assert record.get("absent", []) == lacking
    assert {str(probe["image"]) for probe in probes} == {record["image"] for record in found}


def shifted(millimetres: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[2, 3] = millimetres
    return affine


FAULTS: dict[str, tuple[np.ndarray, np.ndarray, str]] = {
    "another shape": (labels()[:, :, :8], AFFINE, "the size of its image a.nii.gz, 9 rows x 8 columns x 10 slices"),
    "another place": (labels(), shifted(4), "the place of its image a.nii.gz within 0.5 pixels"),
    "no whole numbers": (labels("float32") / 2, AFFINE, "a label map of whole numbers from 0 on"),
    "negative": (labels("int16") - 1, AFFINE, "a label map of whole numbers from 0 on"),
    "several volumes": (np.stack([labels()] * 2, -1), AFFINE, "a readable volume"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_once_and_by_the_name_of_the_file(fault: str, image: Path, tmp_path: Path) -> None:
    array, affine, expected = FAULTS[fault]
    label = save(array, tmp_path / "labels" / "a.nii.gz", affine)
    (problem,) = check_records(records(image, label))
    assert (problem.file, problem.expected) == (str(label), expected)
    assert "\n" not in str(problem)


def test_what_is_found(image: Path, tmp_path: Path) -> None:
    found = {
        fault: check_records(records(image, save(array, tmp_path / "labels" / f"{number}.nii", affine)))[0].found
        for number, (fault, (array, affine, _)) in enumerate(FAULTS.items())
    }
    assert found["another shape"] == "9 rows x 8 columns x 8 slices"
    assert "up to 1.0 pixels away" in found["another place"]
    assert found["no whole numbers"] == "0.5"
    assert found["negative"] == "-1"
    assert "2 volumes; give FILE::channel=0 .. 1, or --channel" in found["several volumes"]


def test_less_than_half_a_slice_apart_is_the_same_place(image: Path, tmp_path: Path) -> None:
    assert check_records(records(image, save(labels(), tmp_path / "b.nii", shifted(1.9)))) == []


def test_other_axes_of_the_same_place(image: Path, tmp_path: Path) -> None:
    """A label map stored the other way round lies where its image lies."""
    turned = nib.as_closest_canonical(nib.Nifti1Image(labels(), AFFINE))
    label = save(np.asarray(turned.dataobj), tmp_path / "b.nii.gz", turned.affine)
    assert check_records(records(image, label)) == []


def test_floats_that_are_whole_are_labels(image: Path, tmp_path: Path) -> None:
    assert check_records(records(image, save(labels("float64"), tmp_path / "b.nii.gz"))) == []


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_cut_short(suffix: str, label: Path, tmp_path: Path) -> None:
    image = save(IMAGE, tmp_path / f"cut.{suffix}")
    image.write_bytes(image.read_bytes()[:-200])
    (problem,) = check_records(records(image, label))
    assert str(problem).startswith(f"{image}: expected a readable volume, found a file that was cut short")


def test_all_nan_and_a_slice_of_nan(label: Path, tmp_path: Path) -> None:
    values = IMAGE.astype(np.float32)
    values[:, :, 0] = np.nan
    assert check_records(records(save(values, tmp_path / "part.nii.gz"), label)) == []
    (problem,) = check_records(records(save(values * np.nan, tmp_path / "all.nii.gz"), label))
    assert "all are NaN" in problem.found and problem.file.endswith("all.nii.gz")


def test_missing_files_and_slices(image: Path, label: Path, tmp_path: Path) -> None:
    problems = check_records(records(tmp_path / "x.nii.gz", label) + records(image, tmp_path / "y.nii.gz"))
    assert [(Path(one.file).name, one.expected) for one in problems] == [("x.nii.gz", "a file"), ("y.nii.gz", "a file")]
    problems = check_records(records(image, label, slices=12))
    assert {(problem.file, problem.found) for problem in problems} == {(str(image), "10 in the axial plane")}


def test_two_files_of_one_name(image: Path, label: Path, tmp_path: Path) -> None:
    other = save(IMAGE + 1, tmp_path / "other" / "a.nii.gz")
    assert check_records(records(image, label) + records(other, label)) == []
    both = [open_stack(file, "axial").slices[0] for file in (image, other)]
    np.testing.assert_array_equal(both[0] + 1, both[1])


def test_one_slice_only(tmp_path: Path) -> None:
    for number, shape in enumerate([(8, 9, 1), (8, 9)]):
        image = save(np.ones(shape, np.int16), tmp_path / f"{number}.nii.gz")
        label = save(np.ones(shape, np.uint8), tmp_path / f"{number}_label.nii.gz")
        assert check_records(records(image, label, slices=1)) == []
        assert open_stack(image, "axial").slices.shape == (1, 9, 8)


def test_thick_slices(tmp_path: Path) -> None:
    affine = np.diag([-0.5, -0.5, 10.0, 1.0])
    image, label = save(IMAGE, tmp_path / "a.nii.gz", affine), save(labels(), tmp_path / "b.nii.gz", affine)
    for plane, spacing in (("axial", (10, 0.5, 0.5)), ("coronal", (0.5, 10, 0.5)), ("sagittal", (0.5, 10, 0.5))):
        assert np.allclose(open_stack(image, plane).spacing, spacing)
        assert check_records(records(image, label, plane, 8)) == []


def test_numbers_of_a_list(image: Path, label: Path) -> None:
    """Several structures of one image in one record, as multi_prompt has them."""
    several = [
        {"image": str(Address(str(image), "axial", 5)), "label": [f"{label}::axial=5::label={n}" for n in (1, 2, 7)]}
    ]
    files = KnownFiles()
    assert check_records(several, files) == []
    assert files.empty_masks(several[0]["label"]) == {f"{label}::axial=5::label=7"}
    assert files.empty_masks([f"{label}::axial=1::label=1,2", f"{label}::axial=5::label=1,2"]) == {
        f"{label}::axial=1::label=1,2"
    }


def test_names_with_special_signs(label: Path, tmp_path: Path) -> None:
    image = save(IMAGE, tmp_path / "a b [1]::x=%é" / "c.nii.gz")
    assert check_records(records(image, label)) == []
    missing = image.with_name("d.nii.gz")
    (problem,) = check_records(records(missing, label))
    assert re.search(r"d\.nii\.gz: expected a file, found nothing at this path", str(problem))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
