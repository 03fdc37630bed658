# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from pydicom.dataset import FileDataset
from pydicom.uid import generate_uid

from monai_vlsm.data.listing import ImagesNotFoundError, SeveralSeriesError, list_images
from monai_vlsm.data.volumes import read_any
from monai_vlsm.data.volumes.series import ordered_files
from monai_vlsm.transforms.naming import has_unknown_unit
from tests.data.files import ramp, save, save_dicom
from tests.data.volumes.series import AXIAL, canonical, slice_datasets, volume, write_series
from tests.data.volumes.test_formats import OBLIQUE

REAL = Path("/work/shared/data/volumes")
Change = Callable[[list[FileDataset]], object]


@pytest.mark.parametrize("affine", [AXIAL, OBLIQUE @ AXIAL, AXIAL[:, [2, 0, 1, 3]]], ids=["axial", "oblique", "other"])
def test_values_and_places(affine: np.ndarray, tmp_path: Path) -> None:
    array, meta = read_any(write_series(tmp_path, slice_datasets(volume(), affine)))
    assert array.dtype == np.int16
    np.testing.assert_array_equal(canonical(array, meta["affine"])[0], canonical(volume(), affine)[0])
    np.testing.assert_allclose(canonical(array, meta["affine"])[1], canonical(volume(), affine)[1], atol=1e-5)
    assert meta["oriented"]


def test_positions_win_over_numbers_and_names(tmp_path: Path) -> None:
    datasets = slice_datasets(volume())
    for data, number in zip(datasets, (3, 1, 5, 2, 4), strict=True):
        data.InstanceNumber = number
    random.Random(1).shuffle(datasets)
    np.testing.assert_array_equal(read_any(write_series(tmp_path, datasets))[0], volume())


def test_each_slice_is_rescaled_and_turned_by_its_own_elements(tmp_path: Path) -> None:
    datasets = slice_datasets(volume())
    datasets[2].RescaleSlope, datasets[2].RescaleIntercept = 0.5, 10
    datasets[3].PhotometricInterpretation = "MONOCHROME1"
    array = read_any(write_series(tmp_path, datasets))[0]
    np.testing.assert_array_equal(array[:, :, 1], volume()[:, :, 1])
    np.testing.assert_array_equal(array[:, :, 2], (volume()[:, :, 2] + 1024) * 0.5 + 10)
    np.testing.assert_array_equal(array[:, :, 3], 65535 - 2048 - volume()[:, :, 3].astype(int))


def test_a_window_that_all_slices_have(tmp_path: Path) -> None:
    datasets = slice_datasets(volume(), WindowCenter=50, WindowWidth=201)
    assert read_any(write_series(tmp_path, datasets))[1]["window"].tolist() == [-50.5, 149.5]
    datasets[1].WindowCenter = 60
    assert "window" not in read_any(write_series(tmp_path, datasets))[1]


def gap(datasets: list[FileDataset]) -> object:
    return datasets.pop(2)


def turned(datasets: list[FileDataset]) -> None:
    datasets[3].ImageOrientationPatient = [0, 1, 0, 0, 0, -1]


def twice(datasets: list[FileDataset]) -> None:
    datasets[3].ImagePositionPatient = datasets[2].ImagePositionPatient


def aside(datasets: list[FileDataset]) -> None:
    datasets[2].ImagePositionPatient = [-5, -20, 34]


def smaller(datasets: list[FileDataset]) -> None:
    datasets[4] = slice_datasets(volume((10, 9, 5)), SeriesInstanceUID=datasets[0].SeriesInstanceUID)[4]


def spaced(datasets: list[FileDataset]) -> None:
    datasets[0].PixelSpacing = [0.75, 0.6]


def nowhere(datasets: list[FileDataset]) -> None:
    del datasets[1].ImagePositionPatient


FAULTS: dict[Change, str] = {
    gap: r"4 mm between 1\.dcm and 3\.dcm, where slices are 2 mm apart: a slice may be missing",
    turned: r"another orientation than 0\.dcm in 3\.dcm",
    twice: r"several images at one place: 2\.dcm, 3\.dcm",
    aside: r"positions that are not on one line in 2\.dcm",
    smaller: r"another number of rows or columns than 0\.dcm in 4\.dcm",
    spaced: r"another pixel spacing than 0\.dcm in 1\.dcm, 2\.dcm, 3\.dcm and 1 more",
    nowhere: r"no position, orientation or pixel spacing in 1\.dcm",
}


@pytest.mark.parametrize("change", FAULTS, ids=lambda change: change.__name__)
def test_faults_are_named(change: Change, tmp_path: Path) -> None:
    datasets = slice_datasets(volume())
    change(datasets)
    names = [f"{one.InstanceNumber - 1}.dcm" for one in datasets]
    with pytest.raises(ValueError, match=FAULTS[change]):
        read_any(write_series(tmp_path, datasets, names))


def test_a_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, slice_datasets(volume((40, 40, 3))), ["0", "1", "2"])
    (tmp_path / "1").write_bytes((tmp_path / "1").read_bytes()[:-800])
    with pytest.raises(ValueError, match=r"^1: "):
        read_any(tmp_path)


def test_several_series_are_named_and_one_can_be_chosen(tmp_path: Path) -> None:
    first, second = slice_datasets(volume()), slice_datasets(volume()[:, :, ::-1], SeriesDescription="abdomen")
    write_series(tmp_path, [*first, *second], [f"{index}" for index in range(10)])
    uid, other = first[0].SeriesInstanceUID, second[0].SeriesInstanceUID
    for read in (list_images, read_any):
        with pytest.raises(ValueError, match="2 DICOM series; give one: ") as raised:
            read(tmp_path)
        assert all(text in str(raised.value) for text in (uid, other, "thorax, 5 files", "abdomen, 5 files"))
    with pytest.raises(SeveralSeriesError):
        list_images(tmp_path)
    (chosen,) = list_images(f"{tmp_path}::series={other}").images
    np.testing.assert_array_equal(read_any(chosen)[0], volume()[:, :, ::-1])
    for path in (tmp_path, chosen):  # a series says what its values mean
        assert not has_unknown_unit(MetaTensor(torch.zeros(1, 2, 2), meta={"filename_or_obj": f"{path}::axial=0"}))
    with pytest.raises(ValueError, match=r"no DICOM series 1\.2\.3; 2 DICOM series"):
        read_any(f"{tmp_path}::series=1.2.3")
    with pytest.raises(ImagesNotFoundError, match="no such file or folder"):
        list_images(f"{tmp_path / 'nowhere'}::series=1.2.3")


def test_a_folder_lists_its_series_as_one_volume_and_other_files_as_images(tmp_path: Path) -> None:
    write_series(tmp_path, slice_datasets(volume()))
    assert list_images(tmp_path).images == [tmp_path]
    assert len(list_images(tmp_path, series=False).images) == 5
    save(ramp(), tmp_path / "photo.png")
    assert list_images(tmp_path).images == [tmp_path, tmp_path / "photo.png"]
    write_series(tmp_path, slice_datasets(volume((11, 9, 1))), ["scout"])
    series, photo, scout = list_images(tmp_path).images
    assert (photo.name, scout.name) == ("photo.png", "scout")
    np.testing.assert_array_equal(read_any(series)[0], volume())
    with pytest.raises(ValueError, match=r"a DICOM series and scout beside it; give .*::series="):
        read_any(tmp_path)


def test_files_without_place_or_series_stay_images(tmp_path: Path) -> None:
    for name in ("a.dcm", "b.dcm"):
        save_dicom(ramp("uint16"), tmp_path / name)
    datasets = slice_datasets(volume((11, 9, 2)))
    for data in datasets:
        del data.ImagePositionPatient
    write_series(tmp_path, datasets, ["c.dcm", "d.dcm"])
    assert [path.name for path in list_images(tmp_path).images] == ["a.dcm", "b.dcm", "c.dcm", "d.dcm"]
    with pytest.raises(ValueError, match="a folder without a DICOM series"):
        read_any(tmp_path)


def test_series_without_names_are_told_apart_by_their_frame_of_reference(tmp_path: Path) -> None:
    write_series(tmp_path, slice_datasets(volume(), SeriesInstanceUID=""))
    assert list_images(tmp_path).images == [tmp_path]
    write_series(
        tmp_path, slice_datasets(volume(), SeriesInstanceUID="", FrameOfReferenceUID=generate_uid()), list("abcde")
    )
    with pytest.raises(SeveralSeriesError):
        list_images(tmp_path)


@pytest.mark.skipif(not REAL.is_dir(), reason="data that is not part of the repository")
def test_a_real_series_lies_where_its_label_map_lies() -> None:
    array, meta = read_any(REAL / "ct_dicom")
    label = nib.load(REAL / "ct_dicom_seg.nii.gz")
    values, affine = canonical(array, meta["affine"])
    labels, of_labels = canonical(np.asanyarray(label.dataobj), label.affine)
    np.testing.assert_allclose(affine, of_labels, atol=1e-4)
    vertebrae = values[(labels >= 25) & (labels <= 50)]
    assert values[labels == 0].mean() < -300 < 100 < vertebrae.mean()
    assert [one.path.name for one in ordered_files(REAL / "ct_dicom")][::19] == ["19.dcm", "00.dcm"]
