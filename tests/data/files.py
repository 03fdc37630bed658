# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Writers of every format, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

ROWS, COLUMNS = 6, 9


def ramp(dtype: str = "uint8") -> np.ndarray:
    """``(6, 9)`` with another value in each row and column, largest at the lower right."""
    return (np.arange(ROWS)[:, None] * 20 + np.arange(COLUMNS)).astype(dtype)


def colour() -> np.ndarray:
    """``(6, 9, 3)``, every channel another image."""
    return np.stack([ramp(), 255 - ramp(), ramp()[::-1]], axis=-1)


def square(size: tuple[int, int] = (40, 60), value: int = 255) -> np.ndarray:
    """A mask with a rectangle, uint8."""
    mask = np.zeros(size, np.uint8)
    mask[8:24, 10:40] = value
    return mask


def save(array: np.ndarray, path: Path, **options: object) -> Path:
    """Write an array with Pillow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def save_dicom(array: np.ndarray, path: Path, photometric: str = "MONOCHROME2") -> Path:
    """Write ``(rows, columns[, 3])``, or ``(frames, rows, columns)`` for grey, as DICOM; slope 2, intercept -10."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PatientName, data.PhotometricInterpretation = "Nobody", photometric
    rgb = photometric == "RGB"
    data.SamplesPerPixel = 3 if rgb else 1
    if rgb:
        data.PlanarConfiguration = 0
    data.Rows, data.Columns = array.shape[-3:-1] if rgb else array.shape[-2:]
    if array.ndim == 3 and not rgb:
        data.NumberOfFrames = array.shape[0]
    data.BitsAllocated = data.BitsStored = 8 * array.dtype.itemsize
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, 0
    if not rgb:
        data.RescaleSlope, data.RescaleIntercept = 2, -10
        data.ImagePositionPatient, data.ImageOrientationPatient = [10, 20, 30], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = [0.5, 0.25]  # rows are 0.5 mm apart, columns 0.25 mm
    data.PixelData = array.tobytes()
    return write_dicom(data, path)


def write_dicom(data: FileDataset, path: Path) -> Path:
    """Write with the elements in front, by pydicom 2 or 3."""
    syntax = data.file_meta.TransferSyntaxUID
    if pydicom.__version__.startswith("2."):
        data.is_little_endian, data.is_implicit_VR = syntax.is_little_endian, syntax.is_implicit_VR
        pydicom.dcmwrite(path, data, write_like_original=False)
    else:
        pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def save_nifti(array: np.ndarray, path: Path) -> Path:
    """Write with an affine of 2, 3 and 4 mm that turns the first axis."""
    nib.save(nib.Nifti1Image(array, np.diag([-2.0, 3.0, 4.0, 1.0])), path)
    return path
