# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""DICOM series, for the tests of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, generate_uid

from tests.data.dicom_files import dataset
from tests.data.files import write_dicom

TO_RAS = np.diag([-1.0, -1, 1, 1])
AXIAL = TO_RAS @ np.array([[0.5, 0, 0, -10], [0, 0.75, 0, -20], [0, 0, 2, 30], [0, 0, 0, 1]])
"""Columns to the left, rows to the back, slices to the head."""


def volume(shape: tuple[int, ...] = (11, 9, 5)) -> np.ndarray:
    """``(columns, rows, slices)``, every voxel another value, int16."""
    return np.arange(np.prod(shape), dtype=np.int16).reshape(shape) - 100


def slice_datasets(array: np.ndarray, affine: np.ndarray = AXIAL, **tags: Any) -> list[FileDataset]:
    """The slices of ``(columns, rows, slices)`` in order, with slope 1 and intercept -1024."""
    lps, study, series = TO_RAS @ affine, generate_uid(), generate_uid()
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    made = []
    for index in range(array.shape[2]):
        data = dataset((array[:, :, index].T + 1024).astype(np.uint16), "MONOCHROME2")
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
        data.StudyInstanceUID, data.SeriesInstanceUID, data.Modality = study, series, "CT"
        data.FrameOfReferenceUID, data.SeriesDescription = "1.2.3", "thorax"
        data.RescaleSlope, data.RescaleIntercept = 1, -1024
        data.PixelSpacing = [f"{spacing[1]:.8g}", f"{spacing[0]:.8g}"]
        data.ImageOrientationPatient = [f"{one:.8f}" for one in (lps[:3, :2] / spacing[:2]).T.ravel()]
        data.ImagePositionPatient = [f"{one:.8f}" for one in (lps @ [0, 0, index, 1])[:3]]
        data.InstanceNumber = index + 1
        for name, value in tags.items():
            setattr(data, name, value)
        made.append(data)
    return made


def write_series(folder: Path, datasets: Sequence[FileDataset], names: Sequence[str] | None = None) -> Path:
    """Write them under names that tell nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, data in enumerate(datasets):
        write_dicom(data, folder / (names[index] if names else f"{(index * 7) % 11:02}.dcm"))
    return folder


def canonical(array: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and affine with axes to the right, front and top."""
    image = nib.as_closest_canonical(nib.Nifti1Image(array, affine))
    return np.asanyarray(image.dataobj), np.asarray(image.affine)
