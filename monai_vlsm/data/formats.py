# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What kind of image a file is: its content decides, and where that says nothing, its suffix."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Literal

from monai.config import PathLike
from PIL import Image

__all__ = [
    "FORMATS",
    "IMAGE_FORMATS",
    "SUPPORTED_SUFFIXES",
    "Kind",
    "file_kind",
    "image_stem",
    "is_itk_volume",
    "is_supported",
    "without_channel",
]

Kind = Literal["image", "dicom", "volume"]

ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")
VOLUME_SUFFIXES = (".nii", ".nii.gz", *ITK_SUFFIXES)
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "JPEG2000", "PPM")
"""Pillow's names. Those that it reads but are left out have no mark of their own (TGA), or run a program (EPS)."""
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif"),
    *(".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc", ".ppm", ".pgm", ".pbm", ".pnm"),
)
SUPPORTED_SUFFIXES = IMAGE_SUFFIXES + DICOM_SUFFIXES + VOLUME_SUFFIXES
"""Lower case. Files need none of them."""
SERIES = "::series="
"""Between the folder of several DICOM series and the UID of the one that is meant."""
MASK_MARK = "_mask"
"""End of the name of a mask that lies among images: ``case_mask.png`` is that of ``case.png``."""
FORMATS = "PNG, JPEG, BMP, TIFF, WebP, GIF, JPEG 2000, PPM, DICOM, NIfTI, NRRD and MHA"
"""The formats that are read, for messages."""

_CHANNEL = re.compile(r"::channel=\d+\Z")  # behind a 4D file, as `monai_vlsm.data.volumes.Address` has it
_SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "volume": VOLUME_SUFFIXES,
    "dicom": DICOM_SUFFIXES,
    "image": IMAGE_SUFFIXES,
}
_HEAD = 352  # bytes, of a NIfTI-1 header
_MARKS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"GIF8")  # quicker than to ask Pillow
_NIFTI = re.compile(rb"(?s)(.{344}n\+1\0|.{4}n\+2\0\r\n\x1a\n)")
# NRRD has a mark; MetaImage begins with one of its fields
_ITK = re.compile(rb"NRRD000|\s*(ObjectType|NDims) *= *\S")
# DICOM without the mark: first a tag of group 8, little endian, then either a VR of two letters or a short length
_BARE_DICOM = re.compile(rb"(?s)\x08\0[\0\x01\x05\x06\x08\x12-\x18\x20]\0([A-Z]{2}..|.\0\0\0)")


def file_kind(path: PathLike) -> Kind | None:
    """Whether a file is an image, DICOM or a volume (NIfTI, NRRD, MHA, MHD); None for anything else.

    Args:
        path: any file. A folder, or ``FOLDER::series=UID``, stands for the DICOM series in it: a volume; and
            ``FILE::channel=N`` for its file. A file that does not exist, or whose content says nothing (empty or
            damaged), is judged by its suffix in any case of letters, so that reading it says what is wrong with it.
    """
    path = without_channel(path)
    if path.is_dir() or SERIES in path.name:
        return "volume"
    try:
        kind = _kind_of_content(path)
    except OSError:
        kind = None
    return kind or _kind_of_suffix(path)


def is_supported(path: PathLike) -> bool:
    """Whether a file is of a format that is read; see :func:`file_kind`."""
    return file_kind(path) is not None


def is_itk_volume(path: PathLike) -> bool:
    """Whether a volume is NRRD, MHA or MHD, by its content; a damaged one by its suffix."""
    path = Path(path)
    with path.open("rb") as file:
        head = file.read(2 * _HEAD)
    return bool(_ITK.match(head)) or (not _NIFTI.match(_unzipped(head)) and path.name.lower().endswith(ITK_SUFFIXES))


def without_channel(path: PathLike) -> Path:
    """The file of ``FILE::channel=N``, one volume of a 4D file; another path as it is."""
    return Path(_CHANNEL.sub("", str(path)))


def image_stem(path: PathLike) -> str:
    """The name of a file without its suffix, if it has one of an image: the name of a DICOM file may be a UID."""
    name = without_channel(path).name.replace(SERIES, "_")
    suffix = next((one for one in sorted(SUPPORTED_SUFFIXES, key=len)[::-1] if name.lower().endswith(one)), "")
    return name[: len(name) - len(suffix)] or name


def stem_of_image(stem: str) -> str:
    """Whose mask a file is by its name: ``"case"`` for the stem ``"case_mask"``; empty where the name says nothing."""
    return stem[: -len(MASK_MARK)] if stem.lower().endswith(MASK_MARK) else ""


def _kind_of_suffix(path: Path) -> Kind | None:
    return next((kind for kind, suffixes in _SUFFIXES.items() if path.name.lower().endswith(suffixes)), None)


def _kind_of_content(path: Path) -> Kind | None:
    with path.open("rb") as file:
        head = file.read(2 * _HEAD)
    if head[128:132] == b"DICM" or _BARE_DICOM.match(head):
        return "dicom"
    if _NIFTI.match(_unzipped(head)) or _ITK.match(head):
        return "volume"
    return "image" if head.startswith(_MARKS) or _is_image(path) else None


def _unzipped(head: bytes) -> bytes:
    """The first bytes of what a gzip file holds; other bytes as they are."""
    if head[:2] != b"\x1f\x8b":
        return head
    try:
        return zlib.decompressobj(31).decompress(head, _HEAD)
    except zlib.error:
        return b""


def _is_image(path: Path) -> bool:
    try:
        with Image.open(path, formats=IMAGE_FORMATS):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # the plugins raise nearly every type on a damaged header
        return False
