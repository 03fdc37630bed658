# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Labels of a MONAI Label datastore as training records: which prompt each was made for, and all as images."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import nibabel as nib
import numpy as np
import torch
from monai.data import MetaTensor
from monai.utils import MetaKeys
from PIL import Image

from monai_vlsm.data import ImageFileReader
from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.volumes import Address, label_counts, open_stack, plane_of_slice, read_any
from monai_vlsm.errors import UserError
from monai_vlsm.transforms import ToRGB

__all__ = ["image_records", "label_prompts", "read_records"]

logger = logging.getLogger(__name__)

UNNAMED = "prompt"  # what the bundles call their only label

Record = dict[str, str]


def label_prompts(info: Mapping[str, Any], default: str, name: str = "label") -> dict[int, str]:
    """Which prompt the values of a label belong to.

    The first of these that is there: ``params.prompt`` of the client that saved the label; the prompt of the request
    that computed it on the server; the names of the segments (3D Slicer sends ``label_info``), each for its own value.
    Else the default prompt, and a line in the log says so.

    Args:
        info: what the datastore knows about the label.
        default: prompt of labels without any.
        name: of the label, for the log.

    Returns:
        value to prompt; the value 0 stands for "any value above zero".
    """
    computed = info.get("params")
    for place in (info, computed if isinstance(computed, Mapping) else {}):
        prompt = place.get("prompt")
        if isinstance(prompt, str) and prompt.strip():
            return {0: prompt}
    segments = info.get("label_info")
    named = dict(_segments(segments)) if isinstance(segments, Sequence) else {}
    if named:
        return named
    logger.warning("%s was saved without a prompt; training takes the default prompt %r", name, default)
    return {0: default}


def _segments(segments: Sequence[Any]) -> Iterator[tuple[int, str]]:
    for place, segment in enumerate(segments, 1):
        name = segment.get("name") if isinstance(segment, Mapping) else None
        if isinstance(name, str) and name.strip() and name.lower() != UNNAMED:
            value = segment.get("idx", place)
            yield value if isinstance(value, int) and value > 0 else place, name


def image_records(
    image: str, label: str, prompts: Mapping[int, str], folder: Path, plane: str = "axial", context: int = 0
) -> list[Record]:
    """Training records of one labelled image, of a volume those of its slices that have the structure.

    Args:
        image: an image, DICOM or volume file.
        label: its label, in any of these formats, written by MONAI Label or a client of it.
        prompts: from `label_prompts`.
        folder: where converted files are written.
        plane: of volumes, axial, coronal or sagittal.
        context: of volumes, how far the neighbours on either side are that the network looks at beside a slice.

    Returns:
        records ``{"image", "label", "prompt"}``, ready for the training of a bundle.

    Raises:
        UserError: a file that cannot be read.
        ValueError: image and label of different sizes.
    """
    folder = Path(mkdtemp(dir=folder))  # of this image alone: names that differ can make equal file names
    if file_kind(image) == "volume":
        return _volume_records(image, label, prompts, folder, plane, context)
    shown, mask = _image(image), _mask(label)
    _require_size(image, shown.shape[:2], label, mask.shape)
    Image.fromarray((shown * 255).round().astype(np.uint8)).save(folder / "image.png")
    records = []
    for value, prompt in prompts.items():
        file = folder / f"label_{value}.png"
        Image.fromarray((mask > 0 if value == 0 else mask == value).astype(np.uint8)).save(file)
        records.append({"image": str(folder / "image.png"), "label": str(file), "prompt": prompt})
    return records


def _volume_records(
    image: str, label: str, prompts: Mapping[int, str], folder: Path, plane: str, context: int
) -> list[Record]:
    """A record for each slice and value; the label is written anew, with the affine of its image."""
    stack, values = open_stack(image, plane), _itk_order(label)
    _require_size(image, stack.file_shape, label, values.shape)
    plane = plane_of_slice(stack.file_shape, stack.file_affine) or plane
    file = folder / "label.nii"
    nib.save(nib.Nifti1Image(values.astype(np.uint16), stack.file_affine), file)
    counts = label_counts(file, plane)
    records = []
    for value, prompt in prompts.items():
        labels = tuple(counts) if value == 0 else tuple({value} & set(counts))
        for index in np.flatnonzero(sum(counts[one] for one in labels)) if labels else ():
            part = Address(str(file), plane, int(index), labels=labels)
            shown = Address(image, plane, int(index), context)
            records.append({"image": str(shown), "label": str(part), "prompt": prompt})
    return records


def _require_size(image: str, size: tuple[int, ...], label: str, found: tuple[int, ...]) -> None:
    if size != found:
        raise ValueError(f"{label} has the size {found}, its image {Path(image).name} {size}")


def read_records(file: str | Path) -> list[Record]:
    """Read records from JSON. Configs take them by this and never as they are: MONAI evaluates texts that start with $.

    Args:
        file: a list of records.
    """
    records: list[Record] = json.loads(Path(file).read_text(encoding="utf-8"))
    return records


def _image(image: str) -> np.ndarray:
    """``(rows, columns, 3)`` from 0 to 1, scaled as for inference."""
    reader = ImageFileReader(flat=True)
    array, meta = reader.get_data(reader.read(image))
    channels = array[None] if np.isnan(meta[MetaKeys.ORIGINAL_CHANNEL_DIM]) else np.moveaxis(array, -1, 0)
    loaded = MetaTensor(torch.as_tensor(channels), meta=meta)  # with the window of the file, if it has one
    return np.moveaxis(torch.as_tensor(ToRGB()(loaded)).numpy(), 0, -1)


def _mask(label: str) -> np.ndarray:
    """``(rows, columns)`` of label values; a label of an image has ITK's axes, whatever its affine says."""
    if file_kind(label) == "volume":
        return _itk_order(label)[:, :, 0].T
    reader = ImageFileReader("mask")
    return _values(reader.get_data(reader.read(label))[0])


def _values(array: np.ndarray) -> np.ndarray:
    """Label values of an image file; black and white (0 and 255) is one label."""
    return np.where(array > 127, 1, 0) if array.max(initial=0) > 20 else array.astype(int)


def _itk_order(label: str) -> np.ndarray:
    """``(X, Y, Z)`` of a volume file, integers."""
    try:
        array, _ = read_any(label)
    except Exception as error:  # libraries raise many kinds
        raise UserError(f"cannot read the label {label}: {error}") from error
    volume = array[..., None] if array.ndim == 2 else array
    if volume.ndim != 3:
        raise UserError(f"the label {label} must have up to three axes and one channel, got shape {array.shape}")
    return np.rint(volume).astype(int)
