# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Reader of every file format this package takes, for MONAI's ``LoadImage``."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader
from monai.utils import MetaKeys, ensure_tuple

from monai_vlsm.counts import counted
from monai_vlsm.data.dicom import read_dicom
from monai_vlsm.data.formats import FORMATS, SUPPORTED_SUFFIXES, file_kind, is_supported, without_channel
from monai_vlsm.data.images import image_facts, read_image
from monai_vlsm.data.label_maps import LabelImage, class_mask
from monai_vlsm.data.lossy import is_lossy
from monai_vlsm.data.masks import mask_channel, without_noise
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.slices import flat_slice
from monai_vlsm.data.volumes import Address, SliceStack, open_stack, read_any
from monai_vlsm.data.volumes.explained import explained

__all__ = ["SUPPORTED_SUFFIXES", "ImageFileReader", "is_supported", "verify_image"]

MODES = ("image", "mask", "colours")

Loaded = tuple[np.ndarray, dict[str, Any]]

# MONAI's LoadImage makes all of its readers whichever is asked for, and one of them complains where pydicom is
# installed and a library of NVIDIA's is not
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register")


class ImageFileReader(ImageReader):
    """Reads images, single-frame DICOM and volumes: what a file is, its content says.

    - Images and DICOM keep their axes, ``(rows, columns[, 3])``: what is on top of the image is first. MONAI's
      readers transpose by default. A DICOM affine belongs to these axes. The orientation of EXIF and TIFF is applied.
    - ``pixel_spacing`` in the metadata of DICOM: distance of rows and of columns in mm, NaN where the file has none.
      ``window`` or ``range``, where there is one: the values that should be black and white, for
      `monai_vlsm.transforms.ToRGB`.
    - NIfTI, NRRD, MHA and DICOM series (`monai_vlsm.data.volumes.read_any`) keep their native axes and affine.
    - Palette, CMYK and other colour become RGB; transparency is laid on black and gone; 1-bit becomes 0/255; 16-bit
      grey keeps its values; colour of 16 bits a channel comes as 8 bits (Pillow). High is bright in every format.

    Files are decoded in :meth:`get_data`: ``LoadImage`` tries MONAI's default readers, which transpose, after an error
    in ``read``, and hides the error.

    Args:
        mode: ``"image"``; or ``"mask"``: each file becomes one channel (:func:`mask_channel`), so that a list of K
            files gives ``(K, rows, columns)`` whatever their colour modes, and what lossy compression leaves in an
            empty one becomes 0 (:func:`without_noise`); or ``"colours"``: a mask before that, for those who judge its
            colours. Transparency means another thing in masks (`monai_vlsm.data.alpha`).
        flat: read a NIfTI file of one slice as an image, in the orientation of a radiologist's screen. For training,
            where nothing is written back into the file's own axes.

    Raises:
        ValueError: unknown mode.
    """

    def __init__(self, mode: str = "image", flat: bool = False) -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r} of ImageFileReader, known: {', '.join(MODES)}")
        self.mode = mode
        self.flat = flat

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether all files are of a format that is read (:func:`is_supported`)."""
        return all(is_supported(name) for name in ensure_tuple(filename))

    def read(self, data: Sequence[PathLike] | PathLike, **kwargs: Any) -> tuple[Path, ...]:
        """Name the files to decode.

        Args:
            data: a path or K paths.
            kwargs: not used, part of MONAI's interface.
        """
        return tuple(Path(name) for name in ensure_tuple(data))

    def get_data(self, img: Sequence[PathLike] | PathLike) -> Loaded:
        """Decode the files that :meth:`read` named.

        Returns:
            the array, ``(rows, columns[, 3])`` for one image, ``(K, rows, columns)`` for K masks, native axes for
            NIfTI; and the metadata (of the first file) that MONAI's transforms need.

        Raises:
            FileNotFoundError: no such file.
            DatasetProblems: a file that cannot be read, several images, or masks of different sizes.
        """
        paths = [Path(name) for name in ensure_tuple(img)]
        if self.mode != "mask" and len(paths) > 1:
            raise DatasetProblems([Problem(str(paths[0]), "one image", f"a list of {counted(len(paths), 'file')}")])
        known: dict[str, LabelImage] = {}
        loaded = [self._load(path, known) for path in paths]
        if len(loaded) == 1:
            return loaded[0]
        return _stack([array for array, _ in loaded], paths), {**loaded[0][1], MetaKeys.ORIGINAL_CHANNEL_DIM: 0}

    def _load(self, name: Path, known: dict[str, LabelImage]) -> Loaded:
        address = Address.of(name)
        path, what = Path(address.file), "image" if self.mode == "image" else "mask"
        with explained(path, what):
            if address.labels or address.colour or (address.plane and self.mode != "image"):
                return _plane(class_mask(address, known))
            if address.plane:
                return _slice(open_stack(path, address.plane, address.channel), address)
            array, meta = _decode(path if address.channel is None else name, self.flat, what)
            return _as_mask(array, meta, is_lossy(path)) if self.mode == "mask" else (array, meta)


def verify_image(path: Path) -> tuple[tuple[int, int], int] | None:
    """Find out that an image is whole, without making an array of it: twice as fast as reading it.

    Returns:
        rows and columns of the upright image, and channels, 1 or 3; None for DICOM and NIfTI.

    Raises:
        FileNotFoundError: no such file.
        DatasetProblems: what :meth:`ImageFileReader.get_data` would raise.
    """
    with explained(path, "image"):
        return image_facts(path) if _kind(path) == "image" else None


def _kind(path: Path) -> str:
    kind = file_kind(path)
    if kind is None:
        raise ValueError(f"a file of no format that is read, which are {FORMATS}")
    return kind


def _decode(path: Path, flat: bool, mode: str) -> Loaded:
    kind = _kind(path)
    if kind == "volume":
        array, meta = read_any(path)
        image = flat_slice(array, meta[MetaKeys.ORIGINAL_AFFINE]) if flat else None
        return (_native(array), meta) if image is None else _plane(image)
    if without_channel(path) != path:
        raise ValueError("one image, which has no volumes to choose from; give it without ::channel")
    if kind == "dicom":
        return _plane(*read_dicom(path))
    return _plane(read_image(path, mode))


def _slice(stack: SliceStack, address: Address) -> Loaded:
    """A slice ``(rows, columns)``; with its ``context``, in the meta too, ``(2 context + 1, rows, columns)``.

    The first and the last slice are repeated beyond the ends.
    """
    at, last = address.index or 0, len(stack.slices) - 1
    array, meta = _plane(stack.at(at), stack.facts.shown())
    if not address.context:
        return array, meta
    near = [min(max(at + step, 0), last) for step in range(-address.context, address.context + 1)]
    return _native(stack.slices[near]), {**meta, MetaKeys.ORIGINAL_CHANNEL_DIM: 0, "context": address.context}


def _plane(array: np.ndarray, extra: dict[str, Any] | None = None) -> Loaded:
    """The array and metadata of an image; only what transforms use, so that no patient's name travels along."""
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    meta: dict[str, Any] = {
        MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:2]),
        MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if array.ndim == 2 else -1,
    }
    return _native(array), {**meta, **(extra or {})}


def _native(array: np.ndarray) -> np.ndarray:
    return np.array(array, dtype=array.dtype.newbyteorder("="))  # Pillow and memory maps give read-only arrays


def _as_mask(array: np.ndarray, meta: dict[str, Any], lossy: bool) -> Loaded:
    if not np.isnan(meta[MetaKeys.ORIGINAL_CHANNEL_DIM]):
        array, meta = mask_channel(array), {**meta, MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan")}
    return without_noise(array) if lossy else array, meta


def _stack(arrays: Sequence[np.ndarray], paths: Sequence[Path]) -> np.ndarray:
    shape = arrays[0].shape
    problems = [
        Problem(str(path), f"the size {shape} of {paths[0].name}", f"{array.shape}")
        for path, array in zip(paths, arrays, strict=True)
        if array.shape != shape
    ]
    if problems:
        raise DatasetProblems(problems)
    return np.stack(arrays)
