# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""DICOM: pixels as pydicom converts them, and where they lie in the patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from monai.utils import MetaKeys, SpaceKeys
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from monai_vlsm.data.dicom_values import Limits, displayed_values

__all__ = ["no_pixels", "numbers", "read_dicom", "read_frame"]

# what functional groups of enhanced files hold of a frame, and the place where other files have it
_MACROS = (
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)
_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_BEYOND = 1e30  # mm or a direction; the squares of what is larger are no numbers any more
_SKIPPED = 1024  # bytes; a longer element is not read when only its name is asked


def no_pixels(path: Path) -> str | None:
    """Why a DICOM file is no image, such as a report; None for an image, and for one that is damaged or cut off."""
    try:
        data = pydicom.dcmread(path, defer_size=_SKIPPED, force=True)
    except Exception:  # pydicom raises nearly every type on damaged files
        return None
    kind = _kind(data)
    return None if "Rows" in data or not kind or "Image Storage" in kind else _without_pixels(data)


def read_dicom(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The image of a DICOM file of one frame.

    Returns:
        ``(rows, columns[, 3])``, see :func:`monai_vlsm.data.dicom_values.displayed_values`; and the metadata: affine
        of (row, column, slice) in MONAI's axes, ``pixel_spacing``, ``oriented`` (whether the file says how the
        patient lies), and ``window`` where there is one.

    Raises:
        ValueError: no pixels, several frames, or pixels that cannot be decoded.
    """
    data, array, limits = read_frame(path)
    spacing = numbers(data, "PixelSpacing", 2)
    affine = _affine(data, spacing)
    meta: dict[str, Any] = {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPACE: SpaceKeys.RAS,
        "pixel_spacing": np.full(2, np.nan) if spacing is None else spacing,
        "oriented": numbers(data, "ImageOrientationPatient", 6) is not None,
    }
    return array, {**meta, **limits}


def read_frame(path: Path) -> tuple[Dataset, np.ndarray, Limits]:
    """The elements of a DICOM file of one frame, and what `displayed_values` makes of them; errors as `read_dicom`."""
    data = pydicom.dcmread(path, force=True)
    missing = _without_pixels(data)
    if missing:
        raise ValueError(missing)
    frames = int(data.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ValueError(f"{frames} frames; split the file into single-frame DICOM files")
    _name_syntax(data)
    _lift_functional_groups(data)
    return data, *displayed_values(data)


def _without_pixels(data: Dataset) -> str | None:
    if any(name in data for name in _PIXELS):
        return None
    return f"DICOM without pixels ({_kind(data) or 'of no kind'})"


def _kind(data: Dataset) -> str:
    """What a file says it is, such as "CT Image Storage"; empty where it says nothing, or is cut off in the word."""
    kind = data.get("SOPClassUID") or data.file_meta.get("MediaStorageSOPClassUID")
    return "" if kind is None or (kind.startswith("1.2.840.10008.") and kind.name == kind) else str(kind.name)


def _name_syntax(data: Dataset) -> None:
    """Say how the pixels are stored in a file that lacks the elements in front, as pydicom found out on reading."""
    if "TransferSyntaxUID" not in data.file_meta:
        implicit = data.original_encoding[0] if hasattr(data, "original_encoding") else data.is_implicit_VR
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian


def _lift_functional_groups(data: Dataset) -> None:
    """Put what functional groups say of the one frame where files without them have it."""
    for group in (_first_item(data, groups) for groups in _GROUPS):
        for element in (one for macro in _MACROS for one in _first_item(group, macro)):
            if element.tag not in data:
                data[element.tag] = element


def _first_item(data: Dataset, keyword: str) -> Dataset:
    return next(iter(data.get(keyword) or ()), Dataset())


def numbers(data: Dataset, keyword: str, count: int) -> np.ndarray | None:
    """The numbers of an element; None where there are not as many, or where they are none."""
    try:
        values = np.array([float(one) for one in data.get(keyword) or ()])
    except (TypeError, ValueError):
        return None
    return values if values.shape == (count,) and (np.abs(values) < _BEYOND).all() else None


def _affine(data: Dataset, spacing: np.ndarray | None) -> np.ndarray:
    """``(4, 4)``, from row, column and slice to the patient's right, front and top in mm; 1 mm where unknown."""
    directions = numbers(data, "ImageOrientationPatient", 6)
    along, down = np.eye(3)[:2] if directions is None else directions.reshape(2, 3)  # of a row, of a column
    normal = np.cross(along, down)
    if np.linalg.norm(normal) < 0.5:  # not two directions at right angles
        along, down, normal = np.eye(3)
    step = np.ones(2) if spacing is None or (spacing <= 0).any() else spacing
    origin = numbers(data, "ImagePositionPatient", 3)
    affine = np.eye(4)
    affine[:3] = np.stack([down * step[0], along * step[1], normal, np.zeros(3) if origin is None else origin], axis=1)
    affine[:2] *= -1  # DICOM counts to the left and to the back
    return affine
