# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the pixels of a DICOM file mean: decoded and converted by pydicom, with bright as high."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage

from monai_vlsm.data.dicom_codecs import stored_pixels

if int(pydicom.__version__.split(".")[0]) < 3:  # MONAI Label needs it
    from pydicom.pixel_data_handlers.util import apply_color_lut, apply_modality_lut
else:
    from pydicom.pixels import apply_color_lut, apply_modality_lut

__all__ = ["Limits", "displayed_values", "shown_range"]

_COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # RGB when decoded
_GREY = ("MONOCHROME1", "MONOCHROME2")
_CT = (CTImageStorage, EnhancedCTImageStorage, LegacyConvertedEnhancedCTImageStorage)
_HOUNSFIELD = (-1024.0, 3071.0)  # what scanners store in 12 bits; beyond it are padding and metal

Limits = dict[str, np.ndarray]


def displayed_values(data: Dataset) -> tuple[np.ndarray, Limits]:
    """Pixels of one frame as they are meant to be seen.

    Grey has the modality LUT or rescaling applied; MONOCHROME1 is turned round in its range, so that high is bright;
    padding has the lowest value of the rest. Frames of one bit are bool. Colour of any kind is RGB.

    Args:
        data: a file of one frame, with what its functional groups say lifted to the top.

    Returns:
        ``(rows, columns[, 3])``; and the values that should become black and white, ``(2,)``: ``window``, the first
        one of a grey file; or ``range``, for CT without a window that of Hounsfield units, for others that of the bits,
        where it is not the range of the values or of their type. Nothing, where there is nothing to be said.

    Raises:
        ValueError: a photometric interpretation that is not known; and as
            :func:`monai_vlsm.data.dicom_codecs.stored_pixels`.
    """
    photometric = str(data.get("PhotometricInterpretation", "MONOCHROME2"))
    stored = stored_pixels(data)
    if photometric in _GREY:
        return _grey(data, stored, inverted=photometric == "MONOCHROME1")
    colour = _colour(data, stored, photometric)
    bits = int(data.BitsStored) if photometric != "PALETTE COLOR" else 8 * colour.itemsize
    return colour, {} if bits == 8 else {"range": np.array([0.0, 2.0**bits - 1])}


def _colour(data: Dataset, stored: np.ndarray, photometric: str) -> np.ndarray:
    if photometric == "PALETTE COLOR":
        return np.asarray(apply_color_lut(stored, data))[..., :3]
    if photometric not in _COLOUR:
        raise ValueError(f"the photometric interpretation {photometric}; save the file as RGB or grey")
    return stored


def _grey(data: Dataset, stored: np.ndarray, inverted: bool) -> tuple[np.ndarray, Limits]:
    padding = _padding(data, stored)
    as_stored = _rescaling(data) is None and not data.get("ModalityLUTSequence")
    values = np.array(stored if as_stored else apply_modality_lut(stored, data))
    window = _window(data)
    if inverted:
        ends = _ends(data, stored)
        values = _as_small(ends.sum() - values.astype(np.result_type(values.dtype, np.int32)), values.dtype)
        window = None if window is None else ends.sum() - window[::-1]
    body = values[~padding]
    if body.size not in (0, values.size) and body.min() < body.max():  # else only padding tells one thing from another
        values[padding] = body.min()
    if int(data.BitsAllocated) == 1:
        return values > 0, {}
    # a window beside all values would make the image black or white all over
    fits = window is not None and window[0] < values.max() and values.min() < window[1]
    return values, {"window": window} if window is not None and fits else shown_range(data, values)


def _padding(data: Dataset, stored: np.ndarray) -> np.ndarray:
    """Where stored values are padding, bool of the same shape."""
    if data.get("PixelPaddingValue") is None or stored.dtype.kind not in "iu":
        return np.zeros(stored.shape, bool)
    first, last = (
        # some files give the value of a signed pixel as unsigned, or the other way round
        int(np.array(int(value)).astype(stored.dtype))
        for value in (data.PixelPaddingValue, data.get("PixelPaddingRangeLimit", data.PixelPaddingValue))
    )
    return (stored >= min(first, last)) & (stored <= max(first, last))


def _rescaling(data: Dataset) -> tuple[float, float] | None:
    """Slope and intercept; None where nothing is to be done, so that 8 bits stay 8 bits, or one of them is empty."""
    slope, intercept = data.get("RescaleSlope"), data.get("RescaleIntercept")
    if slope in (None, "") or intercept in (None, "") or (slope, intercept) == (1, 0):
        return None
    return float(slope), float(intercept)


def _ends(data: Dataset, stored: np.ndarray) -> np.ndarray:
    """Lowest and highest value that the stored bits can mean, ``(2,)``."""
    if stored.dtype.kind == "f":
        return np.array([stored.min(), stored.max()])
    if data.get("ModalityLUTSequence"):
        return np.array([0, 2 ** int(data.ModalityLUTSequence[0].LUTDescriptor[2]) - 1])
    bits = int(data.BitsStored)
    ends = np.array([0, 2**bits - 1]) - (2 ** (bits - 1) if int(data.get("PixelRepresentation", 0)) else 0)
    slope, intercept = _rescaling(data) or (1, 0)
    return ends * slope + intercept


def _as_small(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The values in a type, if it can hold them: pixels may have bits beyond those that the file says are stored."""
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return values.astype(dtype) if values.min() >= limits.min and values.max() <= limits.max else values


def _window(data: Dataset) -> np.ndarray | None:
    """The first window of the file, from black to white; None where it has none that makes sense."""
    try:
        centre, width = (float(_first(data.get(name))) for name in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, IndexError):
        return None
    linear = data.get("VOILUTFunction") or "LINEAR"
    centre, width = (centre - 0.5, width - 1) if linear == "LINEAR" else (centre, width)
    if not (math.isfinite(centre) and math.isfinite(width) and width > 0):
        return None
    return np.array([centre - width / 2, centre + width / 2])


def _first(value: object) -> Any:
    return value[0] if isinstance(value, Sequence) and not isinstance(value, str) else value


def shown_range(data: Dataset, values: np.ndarray) -> Limits:
    """What should be black and white where the file has no window and the range of its values is not right."""
    low, high = float(values.min()), float(values.max())
    if str(data.get("Modality")) == "CT" or data.get("SOPClassUID") in _CT:
        ends = max(low, _HOUNSFIELD[0]), min(high, _HOUNSFIELD[1])
        return {"range": np.array(ends)} if ends[0] < ends[1] and ends != (low, high) else {}
    bits = int(data.get("BitsStored", 8))
    return {"range": np.array([0.0, 2.0**bits - 1])} if values.dtype == np.uint8 and bits < 8 else {}
