# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Stored pixels of DICOM files: pydicom decodes them, or ITK what pydicom decodes with more packages only."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np
import pydicom
from monai.data import ITKReader
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import JPEGExtended12Bit, SecondaryCaptureImageStorage, generate_uid

_OLD = int(pydicom.__version__.split(".")[0]) < 3  # MONAI Label needs it

if _OLD:
    from pydicom.pixel_data_handlers.util import convert_color_space
else:
    from pydicom.pixels import convert_color_space

__all__ = ["ITK_LOCK", "stored_pixels"]

# what the decoder of a compressed frame has to know, and nothing by which the values would be changed
_LAYOUT = (
    *("Rows", "Columns", "SamplesPerPixel", "PlanarConfiguration", "PixelData"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
)
_WITH_PREAMBLE: dict[str, bool] = {"write_like_original": False} if _OLD else {"enforce_file_format": True}
ITK_LOCK = threading.Lock()  # itk loads its modules on first use, which is not safe in several threads


def stored_pixels(data: Dataset) -> np.ndarray:
    """Pixels of a file of one frame as they are stored, decompressed; RGB for any YBR.

    Args:
        data: with a transfer syntax.

    Returns:
        ``(rows, columns[, samples])``.

    Raises:
        ValueError: nothing that is installed decodes the pixels; the message names a package that may.
        Exception: what the decoders raise on damaged files, which is nearly every type.
    """
    photometric = str(data.get("PhotometricInterpretation", ""))
    try:
        array: np.ndarray = data.pixel_array
        return _rgb(array, photometric) if _OLD else array
    except Exception as error:
        if not _lacks_decoder(data, error):
            raise
        try:
            return _rgb(_decoded_by_itk(data), photometric)
        except Exception:
            raise ValueError(
                f"pixels in {data.file_meta.TransferSyntaxUID.name}, which are damaged or of a kind that no installed "
                "package decodes; pip install python-gdcm, or save the file uncompressed"
            ) from error


def _rgb(array: np.ndarray, photometric: str) -> np.ndarray:
    """Decoded pixels as RGB; decoders of JPEG 2000 have turned YBR_ICT and YBR_RCT already."""
    if photometric not in ("YBR_FULL", "YBR_FULL_422"):
        return array
    return np.asarray(convert_color_space(array, photometric, "RGB"))


def _lacks_decoder(data: Dataset, error: Exception) -> bool:
    """Whether an error says that pydicom has nothing that decodes a file, not that the file is damaged."""
    syntax = data.file_meta.TransferSyntaxUID
    if not (syntax.is_private or syntax.is_compressed):
        return False
    words = any(text in str(error) for text in ("missing", "does not support", "only supported"))
    # pydicom 2 sets attributes and computes numbers that Pillow and numpy of today refuse
    return words or isinstance(error, (NotImplementedError, AttributeError, OverflowError))


def _decoded_by_itk(data: Dataset) -> np.ndarray:
    """By a copy without anything that ITK would apply to the values, or show of the patient."""
    if data.file_meta.TransferSyntaxUID == JPEGExtended12Bit and data.PixelRepresentation:
        raise ValueError("ITK takes signed values for unsigned ones here")
    bare = Dataset()
    for name in _LAYOUT:
        if name in data:
            bare[name] = data[name]
    bare.SOPClassUID, bare.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    bare.PhotometricInterpretation = "RGB" if data.SamplesPerPixel == 3 else "MONOCHROME2"
    bare.file_meta = FileMetaDataset()
    bare.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    bare.file_meta.MediaStorageSOPClassUID = bare.SOPClassUID
    bare.file_meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    if _OLD:
        bare.is_little_endian, bare.is_implicit_VR = True, False
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame.dcm"
        pydicom.dcmwrite(file, bare, **_WITH_PREAMBLE)
        with ITK_LOCK:
            reader = ITKReader(reverse_indexing=True)
            image = reader.read(file)  # kept until the array is copied: it is a view of the image's memory
            array = np.array(reader.get_data(image)[0])
    return array.reshape(int(data.Rows), int(data.Columns), *((3,) if data.SamplesPerPixel == 3 else ()))
