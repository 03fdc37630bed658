# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which sides of the patient lie at the edges of an image, where its file says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import nibabel
import numpy as np

__all__ = ["Ends", "patient_ends"]

_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))
_LPS = (("R", "L"), ("A", "P"), ("I", "S"))  # ends of the axes when the affine points to L, P, S


class Ends(NamedTuple):
    """What lies at the edges of an image of a patient: R, L, A, P, S or I."""

    left: str
    right: str
    top: str
    bottom: str


def patient_ends(meta: Mapping[str, Any], affine: Any) -> Ends | None:
    """The ends, or None where the file does not say how the patient lies.

    Args:
        meta: of the image as it was read: ``oriented`` is whether the file says how the patient lies, ``space`` where
            the affine points to.
        affine: 4 x 4, of the array that is shown: rows, columns, slices.
    """
    if not meta.get("oriented"):
        return None
    labels = _LPS if str(meta.get("space", "")).upper() == "LPS" else None
    codes = nibabel.orientations.aff2axcodes(np.asarray(affine, dtype=float), labels=labels)
    if codes[0] is None or codes[1] is None:
        return None
    bottom, right = codes[:2]
    return Ends(_OPPOSITE[right], right, _OPPOSITE[bottom], bottom)
