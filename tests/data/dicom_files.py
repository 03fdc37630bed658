# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""DICOM files as pydicom writes them, and what it reads from them."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers import util
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from monai_vlsm.data import ImageFileReader
from tests.data.files import write_dicom

ROWS, COLUMNS = 23, 41
Y, X = np.mgrid[:ROWS, :COLUMNS]
RGB = np.stack([X * 6, Y * 11, (X + Y) * 4], axis=-1).clip(0, 255).astype(np.uint8)
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)


def read(path: Path, mode: str = "image") -> tuple[np.ndarray, dict[str, Any]]:
    reader = ImageFileReader(mode)
    return reader.get_data(reader.read(path))


def dataset(array: np.ndarray, photometric: str, bits: int = 0, **tags: Any) -> FileDataset:
    """``(rows, columns[, 3])`` as stored."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.PhotometricInterpretation, data.SamplesPerPixel = photometric, array.shape[2] if array.ndim == 3 else 1
    data.Rows, data.Columns = array.shape[:2]
    data.BitsAllocated = 8 * array.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(array.dtype.kind == "i")
    if array.ndim == 3:
        data.PlanarConfiguration = 0
    data.PixelData = array.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    return data


def in_syntax(data: FileDataset, array: np.ndarray, syntax: str, path: Path) -> Path:
    """Write the file, compressed by pydicom, Pillow or ITK where the syntax asks for it."""
    if syntax == RLELossless:
        data.compress(RLELossless, encoding_plugin="pydicom")  # GDCM, where it is installed, ends Python on some
    elif syntax in (JPEGBaseline8Bit, JPEG2000Lossless):
        file = io.BytesIO()
        kind, options = ("JPEG", {"quality": 95}) if syntax == JPEGBaseline8Bit else ("JPEG2000", {})
        Image.fromarray(array).save(file, kind, **options)
        data.PixelData = encapsulate([file.getvalue()])
        data["PixelData"].is_undefined_length = True
    elif syntax == ExplicitVRBigEndian:
        data["PixelData"].VR = "OB" if array.itemsize == 1 else "OW"
        data.PixelData = array.astype(array.dtype.newbyteorder(">")).tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    return write_dicom(data, path)


def as_pydicom_has_it(path: Path) -> np.ndarray:
    """What pydicom's documentation says to do with pixels of each kind."""
    data = pydicom.dcmread(path)
    photometric = data.PhotometricInterpretation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom 3 has the functions in another place, and here too
        if photometric == "PALETTE COLOR":
            return util.apply_color_lut(data.pixel_array, data)
        if photometric.startswith("YBR_FULL") and pydicom.__version__.startswith("2."):
            return util.convert_color_space(data.pixel_array, photometric, "RGB")
        return util.apply_modality_lut(data.pixel_array, data)


def grey(dtype: str, bits: int) -> np.ndarray:
    """From the lowest to the highest value of the bits."""
    ramp = (X + COLUMNS * Y) * (2**bits - 1) // (ROWS * COLUMNS - 1)
    return (ramp - (2 ** (bits - 1) if dtype[0] == "i" else 0)).astype(dtype)
