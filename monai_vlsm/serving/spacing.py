# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How large a pixel is, where the file says it."""

from __future__ import annotations

import numpy as np
from monai.data import MetaTensor

from monai_vlsm.data.volumes.facts import MILLIMETRES

__all__ = ["file_spacing"]


def file_spacing(image: MetaTensor) -> tuple[float, ...] | None:
    """Size of a pixel in mm along each axis of the file's array.

    NIfTI gives it by its affine and unit. DICOM gives it by Pixel Spacing (0028,0030); the Imager Pixel Spacing of a
    radiograph is that of the detector, not of the patient, and does not count. Other formats have none.

    Args:
        image: ``(C, X, Y[, Z])`` as `monai_vlsm.data.ImageFileReader` loads it.

    Returns:
        2 or 3 numbers, or None where the file does not say.
    """
    if "xyzt_units" in image.meta:
        unit = MILLIMETRES.get(int(image.meta["xyzt_units"]) & 7)
        directions = np.asarray(image.meta["original_affine"], dtype=float)[:3, : image.ndim - 1]
        spacing = np.linalg.norm(directions, axis=0) * (unit or np.nan)
    else:
        spacing = np.asarray(image.meta.get("pixel_spacing", np.nan), dtype=float)
    known = np.isfinite(spacing).all() and (spacing > 0).all()
    return tuple(float(one) for one in spacing) if known else None
