# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes of one slice as images."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_vlsm.data import ImageFileReader, check_records, probe_records, with_absent_prompts
from monai_vlsm.data.slices import flat_slice

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # how ITK writes an image as NIfTI


def write(path: Path, array: np.ndarray, affine: np.ndarray = LPS) -> str:
    nib.save(nib.Nifti1Image(array, affine), path)
    return str(path)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1)])
def test_an_image_that_itk_wrote_comes_back_as_it_was(shape: tuple[int, ...]) -> None:
    image = np.arange(24).reshape(4, 6)
    flat = flat_slice(image.T.reshape(shape), LPS)
    assert flat is not None
    assert np.array_equal(flat, image)


def test_front_is_on_top_and_right_is_left() -> None:
    slice_ = np.zeros((4, 5, 1))
    slice_[3, 4] = 1  # right and front
    flat = flat_slice(slice_, np.eye(4))
    assert flat is not None
    assert flat.shape == (5, 4)
    assert flat[0, 0] == 1


def test_several_slices_and_a_singular_affine() -> None:
    assert flat_slice(np.zeros((4, 5, 2)), np.eye(4)) is None
    with pytest.raises(ValueError, match="affine must map three axes"):
        flat_slice(np.zeros((4, 5, 1)), np.zeros((4, 4)))


def test_reader(tmp_path: Path) -> None:
    file = write(tmp_path / "slice.nii.gz", np.arange(24, dtype=np.int16).reshape(6, 4, 1))
    flat, native = ImageFileReader(flat=True), ImageFileReader()
    assert flat.get_data(flat.read(file))[0].shape == (4, 6)
    assert native.get_data(native.read(file))[0].shape == (6, 4, 1)


@pytest.mark.parametrize("flat", [True, False])
def test_colour_as_itk_writes_it(tmp_path: Path, flat: bool) -> None:
    file = write(tmp_path / "colour.nii.gz", np.zeros((6, 4, 1, 1, 3), np.uint8))
    reader = ImageFileReader(flat=flat)
    assert reader.get_data(reader.read(file))[0].shape == ((4, 6, 3) if flat else (6, 4, 1, 3))


def test_labels_of_another_format_than_their_image(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "image.png")
    mask = np.zeros((6, 4, 1), np.uint8)
    mask[0] = 1
    record = {"image": str(tmp_path / "image.png"), "label": write(tmp_path / "label.nii.gz", mask)}
    assert check_records([record]) == []
    wrong = {**record, "label": write(tmp_path / "wrong.nii.gz", mask[:5])}
    assert [problem.found for problem in check_records([wrong])] == ["4 rows x 5 columns"]
    volume = {**record, "label": write(tmp_path / "volume.nii.gz", mask.repeat(3, 2))}
    assert [problem.found for problem in check_records([volume])] == ["6 rows x 4 columns x 3 slices"]


def test_records_without_prompts_say_nothing_of_what_is_absent(tmp_path: Path) -> None:
    records = [{"image": "a.png", "label": "b.png"}]
    assert probe_records(records) == []
    assert with_absent_prompts(records, 0.0) == records
