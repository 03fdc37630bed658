# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which classes are in a 2D label map, a coloured mask, or the slices of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_vlsm.data.formats import file_kind
from monai_vlsm.data.label_maps import read_label_map
from monai_vlsm.data.lists.cases import Case, Part
from monai_vlsm.data.lists.classes import LabelClass
from monai_vlsm.data.volumes import label_counts, open_stack

__all__ = [
    "case_pixels",
    "class_pixels",
    "header_shape",
    "image_counts",
    "image_pixels",
    "is_stack",
    "is_volume",
    "numbers_in",
    "part_counts",
]


def is_volume(file: str | Path) -> bool:
    """Whether a file has slices in three planes, by its content; a folder is a DICOM series."""
    if Path(file).is_dir() or "::" in str(file):
        return True
    return file_kind(file) == "volume" and len(header_shape(file)) != 2


def is_stack(file: str | Path) -> bool:
    """Whether a volume has several slices in each plane, so that it cannot be taken for an image."""
    return is_volume(file) and min(header_shape(file)[:3], default=2) > 1


def header_shape(file: str | Path) -> tuple[int, ...]:
    """The size of a NIfTI file by its header; nothing for all that cannot be read so."""
    try:
        shape: tuple[int, ...] = nib.load(file).shape  # type: ignore[attr-defined]
    except Exception:  # of another format, or faulty, which the check says of it
        return ()
    return tuple(shape)


def numbers_in(file: str) -> list[int]:
    """The label numbers in a label map of two or three axes, without 0."""
    return sorted(label_counts(file, "axial") if is_volume(file) else image_counts(file)[0])


def image_counts(file: str, colours: bool = False) -> tuple[dict[int, int], dict[str, int]]:
    """Pixels of each number but 0, or of each colour but black, of a label map of two axes.

    Args:
        file: grey, in colour, or with a palette, whose indices are numbers.
        colours: count colours where there are numbers too.
    """
    labels = read_label_map(file)
    if colours or labels.numbers is None:
        return {}, labels.colour_counts()
    return labels.number_counts(), {}


def class_pixels(counts: dict[int, np.ndarray], what: LabelClass, slices: int) -> np.ndarray:
    """Pixels of a class in each slice, ``(N,)``; of a mask of its own all that is not 0."""
    labels = what.labels or tuple(counts)
    return sum((counts[label] for label in labels if label in counts), np.zeros(slices, np.int64))


def part_counts(parts: Sequence[Part]) -> dict[str, tuple[dict[int, int], dict[str, int]]]:
    """Each label map of an image, read once: colours are counted where a class of it is one.

    Returns:
        file to pixels of each number, and of each colour.
    """
    coloured = {part.file for part in parts if part.what.colour}
    return {part.file: image_counts(part.file, part.file in coloured) for part in parts}


def image_pixels(numbers: dict[int, int], colours: dict[str, int], what: LabelClass) -> int:
    """Pixels of a class in an image; of a mask of its own all that are not black."""
    if what.colour:
        return colours.get(what.colour, 0)
    if what.labels:
        return sum(numbers.get(label, 0) for label in what.labels)
    return sum(numbers.values()) + sum(colours.values())


def case_pixels(case: Case) -> list[np.ndarray]:
    """Pixels of each part of a case in each of its axial slices, ``(N,)``; ``(1,)`` of an image.

    Raises:
        DatasetProblems: a label map that cannot be read.
        MissingFileError: a label map that is not there.
    """
    if not is_volume(case.image):
        files = part_counts(case.parts)
        return [np.array([image_pixels(*files[part.file], part.what)]) for part in case.parts]
    length = len(open_stack(case.label, "axial").slices) if case.parts else 0
    return [class_pixels(label_counts(part.file, "axial"), part.what, length) for part in case.parts]
