# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""DICOM series: the files of a folder that are slices of one volume, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom

from monai_vlsm.counts import counted
from monai_vlsm.data.dicom import no_pixels, numbers
from monai_vlsm.data.formats import SERIES, file_kind, without_channel

__all__ = [
    "SliceFile",
    "distance",
    "is_series",
    "listed",
    "ordered_files",
    "series_files",
    "series_name",
    "series_place",
]

_TAGS = ["SeriesInstanceUID", "FrameOfReferenceUID", "SeriesDescription", "Rows", "Columns", "NumberOfFrames"]
_PLACE = ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
_TURNED = 1e-3  # by which directions of length 1 may differ: files round them
_UNEVEN = 0.05  # of the distance of two slices, by which others may differ
_ROUNDED = 0.01  # mm, to which some files round positions
_NAMED = 3  # files that a message names


class SliceFile(NamedTuple):
    """What a DICOM file says of its place.

    Attributes:
        path: of the file.
        series: its Series Instance UID; where that is empty, as in files without names, the Frame of Reference UID.
        description: of the series.
        position: of the first pixel, mm to the patient's left, back and top; None where the file does not say.
        directions: of a row and of a column, ``(2, 3)``; None where the file does not say.
        spacing: of rows and of columns in mm; None where the file does not say.
        size: rows and columns.
    """

    path: Path
    series: str
    description: str
    position: np.ndarray | None
    directions: np.ndarray | None
    spacing: np.ndarray | None
    size: tuple[int, int]


def series_place(path: str | PathLike[str]) -> tuple[Path, str | None]:
    """The folder of ``FOLDER::series=UID``, and the UID; of another path its file, and None."""
    folder, _, series = str(without_channel(path)).partition(SERIES)
    return Path(folder), series or None


def is_series(path: str | PathLike[str]) -> bool:
    """Whether a path is that of a DICOM series."""
    place, series = series_place(path)
    return series is not None or place.is_dir()


def series_name(folder: Path, series: str) -> str:
    """How one of several series of a folder is called: ``FOLDER::series=UID``."""
    return f"{folder}{SERIES}{series}"


def series_files(paths: Sequence[Path]) -> dict[str, list[SliceFile]]:
    """The series among DICOM files that are volumes: those of which two files or more say where they lie.

    Args:
        paths: DICOM files; those that cannot be read are left out.

    Returns:
        the UID of each series, in order, to its files in the order of their paths.
    """
    found: dict[str, list[SliceFile]] = defaultdict(list)
    for path in paths:
        slice_file = _slice_file(path)
        if slice_file is not None and slice_file.series:
            found[slice_file.series].append(slice_file)
    return {
        series: files
        for series, files in sorted(found.items())
        if sum(one.position is not None and one.directions is not None for one in files) > 1
    }


def _slice_file(path: Path) -> SliceFile | None:
    try:
        data = pydicom.dcmread(path, force=True, stop_before_pixels=True, specific_tags=[*_TAGS, *_PLACE])
        size = int(data.get("Rows") or 0), int(data.get("Columns") or 0)
    except Exception:  # pydicom raises nearly every type on damaged files
        return None
    position, directions, spacing = (numbers(data, name, count) for name, count in zip(_PLACE, (3, 6, 2), strict=True))
    series = str(data.get("SeriesInstanceUID") or data.get("FrameOfReferenceUID") or "")
    directions = None if directions is None else directions.reshape(2, 3)
    return SliceFile(path, series, str(data.get("SeriesDescription") or ""), position, directions, spacing, size)


def ordered_files(path: str | PathLike[str]) -> list[SliceFile]:
    """The files of one series along its normal: every position once, all at one distance.

    Args:
        path: a folder that holds one series; or ``FOLDER::series=UID``.

    Raises:
        ValueError: several series and none is named; no such series; files that do not say where they lie, differ in
            orientation, size or pixel spacing, lie at one place, off the line of the others, or leave a gap. The
            message names the files.
    """
    files = _one_series(*series_place(path))
    _require_places(files)
    normal = np.cross(*_directions(files[0]))
    files = sorted(files, key=lambda one: float(_position(one) @ normal))
    _require_even(files, np.array([_position(one) @ normal for one in files]))
    _require_line(files)
    return files


def distance(files: Sequence[SliceFile]) -> float:
    """Distance of the slices of `ordered_files` in mm."""
    return float(np.linalg.norm(_position(files[-1]) - _position(files[0])) / (len(files) - 1))


def _one_series(folder: Path, series: str | None) -> list[SliceFile]:
    paths = [path for path in sorted(folder.iterdir()) if _is_dicom_image(path)]
    found = series_files(paths)
    if series is not None:
        if series not in found:
            raise ValueError(f"no DICOM series {series}; {listed(folder, found)}")
        return found[series]
    if len(found) != 1:
        raise ValueError(listed(folder, found))
    (files,) = found.values()
    others = sorted(set(paths) - {one.path for one in files})
    if others:
        (series,) = found
        raise ValueError(f"a DICOM series and {_named(others)} beside it; give {series_name(folder, series)}")
    return files


def _is_dicom_image(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file() and file_kind(path) == "dicom" and no_pixels(path) is None


def listed(folder: Path, found: dict[str, list[SliceFile]]) -> str:
    """Which series a folder holds, in words, and how to name one."""
    if not found:
        return "a folder without a DICOM series, which is two files or more that say where they lie"
    each = [
        f"{series_name(folder, series)} ({files[0].description or 'no description'}, {counted(len(files), 'file')})"
        for series, files in found.items()
    ]
    return f"{counted(len(each), 'DICOM series', 'DICOM series')}; give one: {', '.join(each)}"


def _named(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(path.name for path in paths[:_NAMED]) + more


def _position(one: SliceFile) -> np.ndarray:
    assert one.position is not None
    return one.position


def _directions(one: SliceFile) -> np.ndarray:
    assert one.directions is not None
    return one.directions


def _require_places(files: Sequence[SliceFile]) -> None:
    """All say where they lie, and are turned, sized and spaced alike."""
    _refuse("no position, orientation or pixel spacing", [one for one in files if None in map(_there, one[3:6])])
    first = files[0]
    _refuse("another orientation", [one for one in files if _differ(one.directions, first.directions, _TURNED)], first)
    _refuse("another number of rows or columns", [one for one in files if one.size != first.size], first)
    _refuse("another pixel spacing", [one for one in files if _differ(one.spacing, first.spacing, 1e-4)], first)


def _there(value: Any) -> bool | None:
    return None if value is None else True


def _differ(one: Any, other: Any, tolerance: float) -> bool:
    return bool(np.abs(one - other).max() > tolerance)


def _refuse(what: str, files: Sequence[SliceFile], first: SliceFile | None = None) -> None:
    if files:
        than = f" than {first.path.name}" if first else ""
        raise ValueError(f"a DICOM series with {what}{than} in {_named([one.path for one in files])}")


def _require_even(files: Sequence[SliceFile], heights: np.ndarray) -> None:
    """No two at one height, and none is missing between two."""
    steps = np.diff(heights)
    same = np.flatnonzero(steps <= _ROUNDED)
    if same.size:
        pair = [files[same[0]].path, files[same[0] + 1].path]
        raise ValueError(f"a DICOM series with several images at one place: {_named(pair)}")
    usual = float(np.median(steps))
    odd = np.flatnonzero(np.abs(steps - usual) > _UNEVEN * usual + _ROUNDED)
    if odd.size:
        before, after = files[odd[0]].path.name, files[odd[0] + 1].path.name
        more = f", and {counted(odd.size - 1, 'more such pair')}" if odd.size > 1 else ""
        raise ValueError(
            f"a DICOM series with {steps[odd[0]]:.4g} mm between {before} and {after}, where slices are {usual:.4g} mm "
            f"apart{more}: a slice may be missing"
        )


def _require_line(files: Sequence[SliceFile]) -> None:
    """Positions lie on one line, which need not be the normal (a tilted gantry)."""
    places = np.array([_position(one) for one in files])
    line = places[0] + np.linspace(0, 1, len(places))[:, None] * (places[-1] - places[0])
    off = np.linalg.norm(places - line, axis=1)
    spacing = files[0].spacing
    assert spacing is not None
    _refuse(
        "positions that are not on one line",
        [one for one, far in zip(files, off, strict=True) if far > spacing.min() / 2 + _ROUNDED],
    )
