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

import numpy as np
import torch
from monai.data import ITKReader, MetaTensor
from monai.utils import MetaKeys
from PIL import Image

from monai_vlsm.data import PictureReader
from monai_vlsm.data.dicom_codecs import ITK_LOCK
from monai_vlsm.data.slices import displayed
from monai_vlsm.errors import UserError
from monai_vlsm.names import file_stem
from monai_vlsm.transforms import ToRGB
from monai_vlsm.transforms.naming import is_nifti

__all__ = ["image_records", "label_prompts", "read_records"]

logger = logging.getLogger(__name__)

VOLUMES = (".nii", ".nii.gz")
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


def image_records(image: str, label: str, prompts: Mapping[int, str], folder: Path) -> list[Record]:
    """Training records of one labelled image; volumes become one image for each slice that has the structure.

    Args:
        image: an image, DICOM or NIfTI file.
        label: its label, in any of these formats or NRRD, written by MONAI Label or a client of it.
        prompts: from `label_prompts`.
        folder: where converted images are written, as PNG.

    Returns:
        records ``{"image", "label", "prompt"}``, ready for the training of a bundle.

    Raises:
        UserError: a file that cannot be read.
        ValueError: image and label of different sizes.
    """
    images, masks = _images(image), _masks(image, label)
    if images.shape[:3] != masks.shape:
        raise ValueError(f"{label} has the size {masks.shape}, its image {Path(image).name} {images.shape[:3]}")
    records = []
    folder = Path(mkdtemp(dir=folder))  # of this image alone: names that differ can make equal file names
    for value, prompt in prompts.items():
        found = masks > 0 if value == 0 else masks == value
        slices = np.flatnonzero(found.any((0, 1))) if found.shape[2] > 1 else np.array([0])
        for index in slices:
            name = f"{file_stem(Path(image).name, 'image')}_{value}_{index}.png"
            Image.fromarray((images[:, :, index] * 255).round().astype(np.uint8)).save(folder / f"image_{name}")
            Image.fromarray(found[:, :, index].astype(np.uint8)).save(folder / f"label_{name}")
            paths = {"image": str(folder / f"image_{name}"), "label": str(folder / f"label_{name}")}
            records.append({**paths, "prompt": prompt})
    return records


def read_records(file: str | Path) -> list[Record]:
    """Read records from JSON. Configs take them by this and never as they are: MONAI evaluates texts that start with $.

    Args:
        file: a list of records.
    """
    records: list[Record] = json.loads(Path(file).read_text(encoding="utf-8"))
    return records


def _images(image: str) -> np.ndarray:
    """``(rows, columns, slices, 3)`` from 0 to 1, scaled as for inference."""
    reader = PictureReader()
    array, meta = reader.get_data(reader.read(image))
    volume = is_nifti(image)
    grey = bool(np.isnan(meta[MetaKeys.ORIGINAL_CHANNEL_DIM]))
    channels = array[None] if grey else np.moveaxis(array, -1, 0)
    loaded = MetaTensor(torch.as_tensor(channels), meta=meta)  # with the window of the file, if it has one
    rgb = np.moveaxis(torch.as_tensor(ToRGB()(loaded)).numpy(), 0, -1)
    if not volume:
        return rgb[:, :, None]
    return displayed(rgb if rgb.ndim == 4 else rgb[:, :, None], meta[MetaKeys.ORIGINAL_AFFINE])


def _masks(image: str, label: str) -> np.ndarray:
    """``(rows, columns, slices)`` of label values, as `_images` shows the image."""
    if not label.lower().endswith((*VOLUMES, ".nrrd")):
        reader = PictureReader("mask")
        return _values(reader.get_data(reader.read(label))[0])[..., None]
    array = _itk_order(label)
    if not is_nifti(image):  # a label of an image has ITK's axes, whatever its affine says
        return array.swapaxes(0, 1)
    reader = PictureReader()
    return displayed(array, reader.get_data(reader.read(image))[1][MetaKeys.ORIGINAL_AFFINE])


def _values(array: np.ndarray) -> np.ndarray:
    """Label values of an image file; black and white (0 and 255) is one label."""
    return np.where(array > 127, 1, 0) if array.max(initial=0) > 20 else array.astype(int)


def _itk_order(label: str) -> np.ndarray:
    """``(X, Y, Z)`` of a NIfTI or NRRD file, integers."""
    reader = PictureReader() if is_nifti(label) else ITKReader()
    try:
        with ITK_LOCK:
            array, _ = reader.get_data(reader.read(label))
    except Exception as error:  # ITK raises many kinds
        raise UserError(f"cannot read the label {label}: {error}") from error
    volume = array[..., None] if array.ndim == 2 else array
    if volume.ndim != 3:
        raise UserError(f"the label {label} must have up to three axes and one channel, got shape {array.shape}")
    return np.rint(volume).astype(int)
