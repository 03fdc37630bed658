# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest

from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.volumes import read_any
from tests.data.volumes.series import AXIAL, TO_RAS, canonical, volume

ANGLE = np.radians(20)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]]
AFFINES = {"axial": AXIAL, "oblique": OBLIQUE @ AXIAL, "RAS": np.diag([0.5, 0.75, 10, 1])}


def write(array: np.ndarray, affine: np.ndarray, path: Path) -> Path:
    """A volume as ITK writes it, from the NIfTI copy of it."""
    copy = nib.Nifti1Image(array, affine)
    copy.set_sform(affine, 1)
    nib.save(copy, path.parent / "copy.nii")
    itk.imwrite(itk.imread(str(path.parent / "copy.nii")), str(path), compression=path.stem == "packed")
    return path


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("name", ["a.nrrd", "packed.nrrd", "a.mha", "packed.mha", "a.mhd", "a.nhdr"])
def test_itk_formats_are_as_the_nifti_copy(name: str, affine: np.ndarray, tmp_path: Path) -> None:
    array, meta = read_any(write(volume(), affine, tmp_path / name))
    other, expected = read_any(tmp_path / "copy.nii")
    np.testing.assert_array_equal(array, other)
    np.testing.assert_allclose(meta["original_affine"], expected["original_affine"], atol=1e-5)
    assert meta["oriented"]
    assert meta.keys() == expected.keys()
    assert file_kind(tmp_path / name) == "volume"


def test_right_anterior_superior_of_nrrd(tmp_path: Path) -> None:
    head = (
        "NRRD0005\ntype: uint8\ndimension: 3\nspace: right-anterior-superior\nsizes: 2 3 4\n"
        "space directions: (1,0,0) (0,2,0) (0,0,3)\nspace origin: (5,6,7)\nencoding: raw\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(head.encode() + bytes(range(24)))
    array, meta = read_any(tmp_path / "a.nrrd")
    assert array[1, 2, 3] == 23
    np.testing.assert_allclose(meta["affine"], [[1, 0, 0, 5], [0, 2, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])


def test_nrrd_without_space_does_not_say_how_the_patient_lies(tmp_path: Path) -> None:
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0001\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n\n" + bytes(24)
    )
    assert not read_any(tmp_path / "a.nrrd")[1]["oriented"]


def test_content_decides_whatever_the_suffix(tmp_path: Path) -> None:
    for name in ("a.nrrd", "a.mha"):
        write(volume(), AXIAL, tmp_path / name).rename(tmp_path / "plain")
        assert file_kind(tmp_path / "plain") == "volume"
        np.testing.assert_array_equal(read_any(tmp_path / "plain")[0], volume())


@pytest.mark.parametrize("name", ["a.nrrd", "packed.nrrd", "a.mha", "packed.mha"])
def test_cut_off(name: str, tmp_path: Path) -> None:
    content = write(volume((30, 20, 10)), AXIAL, tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(ValueError, match="damaged NRRD or MetaImage file, or one that is cut off"):
        read_any(tmp_path / name)


def test_several_volumes_and_several_values(tmp_path: Path) -> None:
    several = itk.image_from_array(np.zeros((2, 3, 4, 5), np.int16))
    itk.imwrite(several, str(tmp_path / "several.nrrd"))
    with pytest.raises(ValueError, match="2 volumes; split the file into one for each"):
        read_any(tmp_path / "several.nrrd")
    itk.imwrite(itk.image_from_array(np.zeros((3, 4, 5, 3), np.uint8), is_vector=True), str(tmp_path / "colour.mha"))
    with pytest.raises(ValueError, match="3 values for each voxel, expected one"):
        read_any(tmp_path / "colour.mha")


def test_one_image(tmp_path: Path) -> None:
    itk.imwrite(itk.image_from_array(np.arange(20, dtype=np.uint8).reshape(4, 5)), str(tmp_path / "a.mha"))
    array, meta = read_any(tmp_path / "a.mha")
    assert array.shape == (5, 4)
    np.testing.assert_allclose(meta["affine"], TO_RAS)


def test_axes_are_named_alike() -> None:
    array, affine = canonical(volume(), AXIAL)
    np.testing.assert_array_equal(array, volume()[::-1, ::-1])
    assert (np.diag(affine) > 0).all()
