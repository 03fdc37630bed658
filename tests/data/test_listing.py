# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Every file of a folder is an image or named with the reason."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import BasicTextSRStorage, MediaStorageDirectoryStorage

from monai_vlsm.data import ImageFileReader, ImagesNotFoundError, check_records, list_images, load_images
from monai_vlsm.data.formats import file_kind, image_stem
from tests.data.files import ramp, save, save_dicom, save_nifti


def without_pixels(path: Path, kind: str) -> Path:
    data = pydicom.dcmread(save_dicom(ramp(), path))
    for name in ("PixelData", "Rows", "Columns"):
        delattr(data, name)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = kind
    data.save_as(path)
    return path


def bare_dicom(path: Path, implicit: bool = False) -> Path:
    """A file without the 132 bytes in front and without their group of elements."""
    data = pydicom.dcmread(save_dicom(ramp(), path))
    bare = pydicom.Dataset({element.tag: element for element in data})
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, implicit
    write_dataset(buffer, bare)
    path.write_bytes(buffer.getvalue())
    return path


IMAGES = {
    "IM0001": save_dicom,
    "1.2.840.113619.2.55.3.1": save_dicom,
    "1.2.840.113619.2.55.3.2": save_dicom,
    "a.IMA": save_dicom,
    "b.DCM": save_dicom,
    "wrong.jpg": save_dicom,
    "explicit": lambda array, path: bare_dicom(path),
    "implicit": lambda array, path: bare_dicom(path, implicit=True),
    "C.PNG": save,
    "d.Tif": save,
    "E.NII.GZ": save_nifti,
    "F.NII": save_nifti,
}


def test_masks_beside_their_images_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "a_mask.png", "b.jpg", "b_MASK.tif", "face_mask.png"):
        save(ramp(), tmp_path / name)
    listing = list_images(tmp_path)
    assert [path.name for path in listing.images] == ["a.png", "b.jpg", "face_mask.png"]
    assert listing.report() == "left out, the mask of an image beside it, by its name: a_mask.png, b_MASK.tif"
    assert list_images(tmp_path / "a_mask.png").images == [tmp_path / "a_mask.png"]  # which was asked for


@pytest.mark.parametrize("name", IMAGES)
def test_any_name_of_an_image(name: str, tmp_path: Path) -> None:
    IMAGES[name](ramp(), tmp_path / name)
    assert [path.name for path in list_images(tmp_path).images] == [name]
    reader = ImageFileReader()
    array, _ = reader.get_data(reader.read(tmp_path / name))
    assert array.shape == ramp().shape
    assert len(np.unique(array)) == len(np.unique(ramp()))


@pytest.mark.parametrize("name", ["scan", "scan.bin", "scan.dcm"])
@pytest.mark.parametrize("zipped", [True, False])
def test_nifti_under_another_name(name: str, zipped: bool, tmp_path: Path) -> None:
    content = save_nifti(ramp(), tmp_path / "a.nii").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(content, mtime=0) if zipped else content)
    assert file_kind(tmp_path / name) == "volume"
    reader = ImageFileReader()
    array, meta = reader.get_data(reader.read(tmp_path / name))
    np.testing.assert_array_equal(array, ramp())
    np.testing.assert_array_equal(meta["affine"], np.diag([-2.0, 3.0, 4.0, 1.0]))


def test_names_of_records_keep_what_is_no_suffix(tmp_path: Path) -> None:
    for name, write in IMAGES.items():
        write(ramp(), tmp_path / name)
    names = {record["name"] for record in load_images(tmp_path, "brain")}
    assert {"IM0001", "1.2.840.113619.2.55.3.1", "1.2.840.113619.2.55.3.2", "a", "b", "C", "E", "F"} <= names
    assert len(names) == len(IMAGES)
    assert image_stem("folder/.png") == ".png"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    save_dicom(ramp(), tmp_path / "IM1")
    save(ramp(), tmp_path / "a.png")
    without_pixels(tmp_path / "SR1", BasicTextSRStorage)
    without_pixels(tmp_path / "DICOMDIR", MediaStorageDirectoryStorage)
    (tmp_path / "notes.txt").write_text("Not an image.")
    (tmp_path / "data.zip").write_bytes(gzip.compress(b"PK" * 500, mtime=0))
    (tmp_path / "empty").touch()
    (tmp_path / "broken.png").write_bytes(b"PNG")
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "inner").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    return tmp_path


def test_the_rest_is_named_with_the_reason(mixed: Path) -> None:
    listing = list_images(mixed)
    assert [path.name for path in listing.images] == ["IM1", "a.png", "broken.png"]
    assert {path.name: reason for path, reason in listing.left_out} == {
        "SR1": "DICOM without pixels (Basic Text SR Storage)",
        "DICOMDIR": "DICOM without pixels (Media Storage Directory Storage)",
        "notes.txt": "of no format that is read",
        "data.zip": "of no format that is read",
        "empty": "of no format that is read",
        ".DS_Store": "hidden",
        "inner": "a folder; give it by itself",
        "gone.png": "no file, or a link to nothing",
    }
    assert len(listing.images) + len(listing.left_out) == len(list(mixed.iterdir()))


def test_the_report_names_all_and_the_formats(mixed: Path) -> None:
    report = list_images(mixed).report()
    assert all(path.name in report for path, _ in list_images(mixed).left_out)
    assert "left out, of no format that is read: data.zip, empty, notes.txt" in report
    assert report.splitlines()[-1].startswith("read are PNG, JPEG")
    for path in (*mixed.glob("*.txt"), *mixed.glob("*.zip"), mixed / "empty"):
        path.unlink()
    assert "read are" not in list_images(mixed).report()


def test_a_folder_without_images(mixed: Path) -> None:
    for name in ("IM1", "a.png", "broken.png"):
        (mixed / name).unlink()
    with pytest.raises(ImagesNotFoundError, match=r"(?s)no image in .*\n.*Basic Text SR Storage\): SR1") as caught:
        list_images(mixed)
    assert "read are PNG" in str(caught.value)
    shutil.rmtree(mixed / "inner")
    (mixed / "inner").mkdir()
    with pytest.raises(ImagesNotFoundError, match="it is empty"):
        load_images(mixed / "inner", "brain")


def test_a_damaged_image_is_no_file_without_pixels(tmp_path: Path) -> None:
    """It is an image: reading it says what is wrong, and it does not pass for a report."""
    content = save_dicom(ramp(), tmp_path / "whole.dcm").read_bytes()
    for length in range(140, len(content), 40):
        (tmp_path / f"{length}.dcm").write_bytes(content[:length])
    (tmp_path / "text.dcm").write_text("no DICOM at all, and long enough to be read as something" * 9)
    listing = list_images(tmp_path)
    assert listing.left_out == []
    for path in listing.images:
        problems = check_records([{"image": str(path)}])
        assert len(problems) == (path.name != "whole.dcm")


def test_a_named_file_is_not_left_out(mixed: Path) -> None:
    assert list_images(mixed / "SR1") == ([mixed / "SR1"], [])
    with pytest.raises(ValueError, match=r"SR1: .* found DICOM without pixels \(Basic Text SR Storage\)"):
        load_images(mixed / "SR1", "brain")
    with pytest.raises(ValueError, match=r"notes\.txt: .* found a file of no format that is read, which are PNG"):
        load_images(mixed / "notes.txt", "brain")
