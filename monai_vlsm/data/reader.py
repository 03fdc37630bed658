# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Reader of every file format this package takes, for MONAI's ``LoadImage``."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import PathLike
from monai.data import ImageReader, ITKReader, NibabelReader, PILReader
from monai.utils import MetaKeys, ensure_tuple
from PIL import ExifTags, Image, ImageOps

from monai_vlsm.data.masks import mask_channel
from monai_vlsm.data.problems import DatasetProblems, Problem

__all__ = ["SUPPORTED_SUFFIXES", "PictureReader", "is_supported"]

VOLUME_SUFFIXES = (".nii", ".nii.gz")
DICOM_SUFFIXES = (".dcm", ".dicom")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
SUPPORTED_SUFFIXES = PICTURE_SUFFIXES + DICOM_SUFFIXES + VOLUME_SUFFIXES
PICTURE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
MODES = ("image", "mask")
_PIXEL_SPACING = "0028|0030"  # in the patient; 0018|1164 is that of the detector, which magnifies
_ITK_LOCK = threading.Lock()  # itk loads its modules on first use, which is not safe in several threads

Loaded = tuple[np.ndarray, dict[str, Any]]


def is_supported(path: PathLike) -> bool:
    """Whether a file has a supported suffix, or none and the mark of a DICOM file."""
    name = Path(path).name.lower()
    return name.endswith(SUPPORTED_SUFFIXES) or ("." not in name.strip(".") and _is_dicom(Path(path)))


class PictureReader(ImageReader):
    """Reads PNG, JPEG, BMP, TIFF, single-frame DICOM and NIfTI, made of MONAI's own readers.

    - Pictures and DICOM keep their axes, ``(rows, columns[, 3])``: what is on top of the picture is first. MONAI's
      readers transpose by default. A DICOM affine belongs to these axes. EXIF orientation is applied.
    - ``pixel_spacing`` in the metadata of DICOM: distance of rows and of columns in mm, NaN where the file has none.
    - NIfTI keeps its native axes and affine.
    - Palette, CMYK and other colour become RGB; transparency is laid on black and gone; 1-bit becomes 0/255; 16-bit
      grey keeps its values; colour of 16 bits a channel comes as 8 bits (Pillow). MONOCHROME1 DICOM is inverted by
      ITK, so that high is bright.

    Files are decoded in :meth:`get_data`: ``LoadImage`` tries MONAI's default readers, which transpose, after an error
    in ``read``, and hides the error.

    Args:
        mode: ``"image"``; or ``"mask"``: each file becomes one channel (:func:`mask_channel`), so that a list of K
            files gives ``(K, rows, columns)`` whatever their colour modes.

    Raises:
        ValueError: unknown mode.
    """

    def __init__(self, mode: str = "image") -> None:
        super().__init__()
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r} of PictureReader, known: {', '.join(MODES)}")
        self.mode = mode

    def verify_suffix(self, filename: Sequence[PathLike] | PathLike) -> bool:
        """Whether all files have a supported suffix or the mark of DICOM."""
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
            the array, ``(rows, columns[, 3])`` for one picture, ``(K, rows, columns)`` for K masks, native axes for
            NIfTI; and the metadata (of the first file) that MONAI's transforms need.

        Raises:
            FileNotFoundError: no such file.
            DatasetProblems: a file that cannot be read, several images, or masks of different sizes.
        """
        paths = [Path(name) for name in ensure_tuple(img)]
        if self.mode == "image" and len(paths) > 1:
            raise DatasetProblems([Problem(str(paths[0]), "one image", f"a list of {len(paths)} files")])
        loaded = [self._load(path) for path in paths]
        if len(loaded) == 1:
            return loaded[0]
        return _stack([array for array, _ in loaded], paths), {**loaded[0][1], MetaKeys.ORIGINAL_CHANNEL_DIM: 0}

    def _load(self, path: Path) -> Loaded:
        with _explained(path, self.mode):
            array, meta = _decode(path)
            return (array, meta) if self.mode == "image" else _as_mask(array, meta)


def glance(path: Path) -> tuple[tuple[int, int], int] | None:
    """Find out that a picture is whole, without making an array of it: twice as fast as reading it.

    A JPEG is decoded at an eighth of its size, which reads all of its data.

    Returns:
        rows and columns after EXIF orientation, and channels, 1 or 3; None for DICOM and NIfTI.

    Raises:
        FileNotFoundError: no such file.
        DatasetProblems: what :meth:`PictureReader.get_data` would raise.
    """
    with _explained(path, "image"):
        if _is_volume(path) or _is_dicom_file(path):
            return None
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            _check_pages(image)
            columns, rows = image.size
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5  # by a quarter, perhaps mirrored
            image.draft(None, (1, 1))
            image.load()
            return (columns, rows) if turned else (rows, columns), 1 if _is_grey(image) or _is_deep(image) else 3


@contextmanager
def _explained(path: Path, mode: str) -> Iterator[None]:
    """Any error of a decoder as one that names the file."""
    if not path.is_file():
        raise FileNotFoundError(f"no such image file: {path}")
    try:
        if path.stat().st_size == 0:
            raise ValueError("an empty file (0 bytes)")
        yield
    except Exception as error:  # the decoders raise nearly every type, from SyntaxError to struct.error
        found = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise DatasetProblems([Problem(str(path), f"a readable {mode}", found[0])]) from error


def _decode(path: Path) -> Loaded:
    if _is_volume(path):
        return _read_volume(path)
    if _is_dicom_file(path):
        return _read_dicom(path)
    return _read_picture(path)


def _is_volume(path: Path) -> bool:
    return path.name.lower().endswith(VOLUME_SUFFIXES)


def _is_dicom_file(path: Path) -> bool:
    return path.suffix.lower() in DICOM_SUFFIXES or _is_dicom(path)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _read_picture(path: Path) -> Loaded:
    reader = PILReader(converter=_upright, reverse_indexing=False, formats=PICTURE_FORMATS)
    array, _ = reader.get_data(reader.read(path))
    return _plane(array)


def _read_dicom(path: Path) -> Loaded:
    reader = ITKReader(reverse_indexing=True)
    with _ITK_LOCK:
        image = reader.read(path)  # kept until the array is copied: it is a view of the image's memory
        array, meta = reader.get_data(image)
    colour = int(meta[MetaKeys.ORIGINAL_CHANNEL_DIM] == -1)
    frames = array.shape[: array.ndim - 2 - colour]
    if any(size != 1 for size in frames):
        raise ValueError(f"{frames[0]} frames; split the file into single-frame DICOM files")
    array = array.reshape(array.shape[len(frames) :])
    # the reader's affine is for (column, row, frame), the array is (row, column)
    affine = meta[MetaKeys.AFFINE][:, [1, 0, 2, 3]] if len(meta[MetaKeys.AFFINE]) == 4 else np.eye(4)
    spacing = _pixel_spacing(meta.get(_PIXEL_SPACING, ""))
    known = {MetaKeys.AFFINE: affine, MetaKeys.ORIGINAL_AFFINE: affine, MetaKeys.SPACE: meta["space"]}
    return _plane(array, {**known, "pixel_spacing": spacing})


def _pixel_spacing(text: str) -> np.ndarray:
    """Distance of rows and of columns in mm, NaN where the file does not say: ITK would put 1 mm in its place."""
    try:
        rows, columns = (float(number) for number in text.split("\\"))
    except ValueError:
        return np.full(2, np.nan)
    return np.array([rows, columns])


def _read_volume(path: Path) -> Loaded:
    reader = NibabelReader()
    array, meta = reader.get_data(reader.read(path))
    if array.dtype.kind not in "biuf":
        raise ValueError(f"values of type {array.dtype}; save them as integers or floats")
    return _native(array), meta


def _plane(array: np.ndarray, extra: dict[str, Any] | None = None) -> Loaded:
    """The array and metadata of a picture; only what transforms use, so that no patient's name travels along."""
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    meta: dict[str, Any] = {
        MetaKeys.SPATIAL_SHAPE: np.asarray(array.shape[:2]),
        MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan") if array.ndim == 2 else -1,
    }
    return _native(array), {**meta, **(extra or {})}


def _native(array: np.ndarray) -> np.ndarray:
    return np.array(array, dtype=array.dtype.newbyteorder("="))  # Pillow and memory maps give read-only arrays


def _upright(image: Image.Image) -> Image.Image:
    """EXIF orientation applied, then grey (8, 16, 32 bits) or RGB, without transparency."""
    _check_pages(image)
    grey, deep = _is_grey(image), _is_deep(image)
    image = ImageOps.exif_transpose(image)
    if deep:
        return image
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    return image.convert("L" if grey else "RGB")


def _check_pages(image: Image.Image) -> None:
    pages = getattr(image, "n_frames", 1)
    if image.format == "TIFF" and pages > 1:
        raise ValueError(f"{pages} pages; split the file into single pictures")


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La")


def _is_deep(image: Image.Image) -> bool:
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _as_mask(array: np.ndarray, meta: dict[str, Any]) -> Loaded:
    if np.isnan(meta[MetaKeys.ORIGINAL_CHANNEL_DIM]):
        return array, meta
    return mask_channel(array), {**meta, MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan")}


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
