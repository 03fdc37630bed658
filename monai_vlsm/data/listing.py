# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The images of a folder, and why its other files are none."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

from monai.config import PathLike

from monai_vlsm.data.dicom import no_pixels
from monai_vlsm.data.formats import FORMATS, file_kind, image_stem, stem_of_image
from monai_vlsm.data.volumes.series import listed, series_files, series_name, series_place
from monai_vlsm.errors import UserError
from monai_vlsm.names import user_path

__all__ = ["ImagesNotFoundError", "LeftOut", "Listing", "SeveralSeriesError", "list_images"]

NOT_READ = "of no format that is read"
MASK_BESIDE = "the mask of an image beside it, by its name"


class ImagesNotFoundError(UserError, FileNotFoundError, ValueError):
    """There is no such file or folder of images, or no image in the folder."""


class SeveralSeriesError(UserError, ValueError):
    """A folder holds several DICOM series, and nobody said which is meant."""


class LeftOut(NamedTuple):
    """Something in a folder that is no image.

    Attributes:
        path: the file or sub-folder.
        reason: why, in words that fit behind its name: "DICOM without pixels (Basic Text SR Storage)".
    """

    path: Path
    reason: str


class Listing(NamedTuple):
    """All that is in a folder: each entry is either an image or left out.

    Attributes:
        images: sorted by path; for the files of a DICOM series their folder stands, or ``FOLDER::series=UID``.
        left_out: sorted by path.
    """

    images: list[Path]
    left_out: list[LeftOut]

    def report(self) -> str:
        """What is left out and why, a line for each reason, for the user to read; empty when nothing is."""
        names: dict[str, list[str]] = {}
        for path, reason in self.left_out:
            names.setdefault(reason, []).append(path.name)
        lines = [f"left out, {reason}: {', '.join(found)}" for reason, found in names.items()]
        return "\n".join([*lines, *([f"read are {FORMATS}"] if NOT_READ in names else [])])


def list_images(path: PathLike, series: bool = True) -> Listing:
    """Sort what is in a folder into images and what is left out. Files are opened, their pixels are not decoded.

    An image is an image, DICOM or volume file by its content (:func:`monai_vlsm.data.formats.file_kind`). One that
    claims to be an image but cannot be read counts as an image: reading it says what is wrong. Left out are other
    files, DICOM without pixels (DICOMDIR, reports), masks beside their image (``case_mask.png`` and ``case.png``),
    hidden files and sub-folders.

    DICOM files of one series that say where they lie are one volume, two of them or more. Others are images.

    ``print(list_images(folder).report())`` tells the user what :func:`monai_vlsm.data.load_images` does not take.

    Args:
        path: a folder; a file, or a volume of a 4D file (``FILE::channel=N``), which is never left out, since it was
            named; or ``FOLDER::series=UID``.
        series: False takes every DICOM file for an image, as in lists of images with masks.

    Raises:
        ImagesNotFoundError: (a FileNotFoundError and ValueError) no such file or folder, or no image in the folder;
            the message says what is there instead.
        SeveralSeriesError: several DICOM series; the message names them.
    """
    path = user_path(str(path))  # a folder named 2018 comes as a number from a command line
    place, named = series_place(path)
    if not place.exists():
        raise ImagesNotFoundError(f"no such file or folder: {place}")
    if named or place.is_file():
        return Listing([path], [])
    if place != path:
        raise ImagesNotFoundError(f"{path}: ::channel=N names a volume of one file, and {place} is a folder")
    stems = {image_stem(entry) for entry in path.iterdir()}
    entries = [(entry, _reason(entry, stems)) for entry in sorted(path.iterdir())]
    images = [entry for entry, reason in entries if reason is None]
    listing = Listing(
        _with_series(path, images) if series else images,
        [LeftOut(entry, reason) for entry, reason in entries if reason is not None],
    )
    if not listing.images:
        found = listing.report() or f"it is empty; read are {FORMATS}"
        raise ImagesNotFoundError(f"no image in {path}\n{found}")
    return listing


def _with_series(folder: Path, images: Sequence[Path]) -> list[Path]:
    """The images, with one entry in place of the files of a DICOM series."""
    dicom = [path for path in images if file_kind(path) == "dicom"]
    found = series_files(dicom)
    if len(found) > 1:
        raise SeveralSeriesError(f"{folder}: {listed(folder, found)}")
    for uid, files in found.items():
        own = {one.path for one in files}
        volume = folder.absolute() if own == set(dicom) else Path(series_name(folder.absolute(), uid))
        images = [volume, *(path for path in images if path not in own)]
    return list(images)


def _reason(path: Path, stems: Set[str]) -> str | None:
    """Why an entry of a folder, with entries of these stems, is left out; None for an image."""
    if path.name.startswith("."):
        return "hidden"
    if path.is_dir():
        return "a folder; give it by itself"
    if not path.is_file():
        return "no file, or a link to nothing"
    kind = file_kind(path)
    if kind is None:
        return NOT_READ
    if stem_of_image(image_stem(path)) in stems:
        return MASK_BESIDE
    return no_pixels(path) if kind == "dicom" else None
