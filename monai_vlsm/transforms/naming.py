# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a datum is called in an error, by its record or by the file that it was read from; and names in its meta."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.data import MetaTensor

from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.volumes import Address
from monai_vlsm.data.volumes.series import is_series

__all__ = ["EIGHT_BIT", "file_name", "has_unknown_unit", "is_nifti", "record_name"]

WINDOW = "window"  # in the meta of an image as read: the values that its file wants to be black and white
RANGE = "range"  # and those that they can be, where lowest and highest are not the right ones
USUAL_RANGE = "percentiles"  # in the meta of a slice: percentiles of its whole volume
CONTEXT = "context"  # in the meta of a slice: its channels are slices, so many on either side of it
SHOWN = "shown"  # in the meta of an image: the values that became black and white
SHOWN_BY = "shown_by"  # and what chose them: "window abdomen", "window of the user", "window of the file", ...
EIGHT_BIT = "eight_bit"  # in the meta of an image: its values are multiples of 1/255


def file_name(image: Any, default: str = "image") -> str:
    """The path that an image was read from (``filename_or_obj`` in its meta), or ``default`` when it has none."""
    path = image.meta.get("filename_or_obj") if isinstance(image, MetaTensor) else None
    return str(path) if path else default


def is_nifti(image: Any) -> bool:
    """Whether an image, loaded or the path of it, is a NIfTI file: masks of it are NIfTI too."""
    if isinstance(image, MetaTensor) and "xyzt_units" in image.meta:
        return True
    path = image if isinstance(image, str) else file_name(image, default="")
    return bool(path) and file_kind(path) == "volume"


def has_unknown_unit(image: Any) -> bool:
    """Whether a loaded image is a volume, or a slice of one, of a file that does not say what its values mean."""
    address = Address.of(file_name(image, default=""))
    if address.plane is None and not is_nifti(image):
        return False
    is_dicom = address.file and (is_series(address.file) or file_kind(address.file) == "dicom")
    return not is_dicom  # which says it


def record_name(data: Mapping[Hashable, Any], name_key: Hashable = "name", image_key: Hashable = "image") -> str:
    """The name of a record: ``data[name_key]``, else the path of its image (loaded or not yet), else ``"record"``."""
    name = data.get(name_key)
    if isinstance(name, str) and name:
        return name
    image = data.get(image_key)
    return image if isinstance(image, str) else file_name(image, default="record")
