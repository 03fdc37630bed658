# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""NRRD and MetaImage (MHA, MHD), by ITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import MetaKeys, SpaceKeys

from monai_vlsm.counts import counted
from monai_vlsm.data.dicom_codecs import ITK_LOCK

__all__ = ["NRRD", "read_itk"]

NRRD = b"NRRD000"
"""What every NRRD file begins with; a digit follows."""
MILLIMETRES = 2  # NIfTI's code for ``xyzt_units``
TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])  # ITK and DICOM count to the patient's left and back


def read_itk(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """The one volume of an NRRD, MHA or MHD file, with its native axes.

    Returns:
        ``(X, Y[, Z])``, and metadata as `monai_vlsm.data.volumes.read_volume`; the affine leads to the patient's right,
        front and top, whatever the file counts in.

    Raises:
        ValueError: several volumes, several values for each voxel, or a file that is damaged or cut off.
    """
    with path.open("rb") as file:
        nrrd = file.read(len(NRRD)) == NRRD
    with ITK_LOCK:
        image = _image(path, nrrd)
        array, affine = _native(image), _affine(image, min(image.GetImageDimension(), 3))
        known = not nrrd or "NRRD_space" in image.GetMetaDataDictionary().GetKeys()
    return array, volume_meta(affine, array, False, known)


def _image(path: Path, nrrd: bool) -> Any:
    import itk  # here, because it takes a second

    try:
        found = (itk.NrrdImageIO if nrrd else itk.MetaImageIO).New(FileName=str(path))
        found.ReadImageInformation()
        values = found.GetNumberOfComponents()
        if values == 1:
            return itk.imread(str(path), imageio=found)
    except Exception as error:  # itk raises RuntimeError, with many lines about itself
        raise ValueError("a damaged NRRD or MetaImage file, or one that is cut off") from error
    raise ValueError(f"{values} values for each voxel, expected one")


def _native(image: Any) -> np.ndarray:
    """A copy, ``(X, Y[, Z])``."""
    import itk

    array: np.ndarray = itk.array_from_image(image).T
    if array.ndim > 3 and array.shape[3:] != (1,) * (array.ndim - 3):
        raise ValueError(f"{counted(int(np.prod(array.shape[3:])), 'volume')}; split the file into one for each")
    return array.reshape(array.shape[:3])


def _affine(image: Any, axes: int) -> np.ndarray:
    affine = np.eye(4)
    directions = np.asarray(image.GetDirection())[:axes, :axes]
    affine[:axes, :axes] = directions * np.array(image.GetSpacing())[:axes]
    affine[:axes, 3] = np.array(image.GetOrigin())[:axes]
    turned: np.ndarray = TO_RAS @ affine
    return turned


def volume_meta(affine: np.ndarray, array: np.ndarray, colour: bool, oriented: bool) -> dict[str, Any]:
    """Metadata as `monai_vlsm.data.volumes.read_volume` gives it."""
    return {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.copy(),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.SPATIAL_SHAPE: np.array(array.shape[:-1] if colour else array.shape),
        MetaKeys.ORIGINAL_CHANNEL_DIM: -1 if colour else float("nan"),
        "xyzt_units": MILLIMETRES,
        "oriented": oriented,
    }
