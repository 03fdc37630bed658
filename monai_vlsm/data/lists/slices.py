# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From cases to rows: one for each slice and class, or for each class of a 2D image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_vlsm.counts import counted
from monai_vlsm.data.check import check_records
from monai_vlsm.data.lists.cases import Case
from monai_vlsm.data.lists.classes import table_hint
from monai_vlsm.data.lists.counting import class_pixels, image_pixels, is_volume, part_counts
from monai_vlsm.data.lists.tally import Tally
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.rows import Row
from monai_vlsm.data.volumes import PLANES, Address, label_counts, open_stack, plane_of_slice
from monai_vlsm.progress import progress_bar

__all__ = ["Findings", "Slicing", "case_rows", "first_slices"]


@dataclass(frozen=True)
class Slicing:
    """Which slices and classes of cases become rows.

    Args:
        planes: axial, coronal, sagittal, or all of them.
        context: how far the neighbours on either side are that come with a slice.
        min_pixels: of a class in a slice, below which the class is left out of the slice.
        all_slices: of volumes, rows for all classes in all slices, whether they are there or not.
        absent: tell of each row which classes are truly not in its slice.
    """

    planes: str = "axial"
    context: int = 0
    min_pixels: int = 0
    all_slices: bool = False
    absent: bool = False

    @property
    def each(self) -> tuple[str, ...]:
        """The planes."""
        return tuple(PLANES) if self.planes == "all" else (self.planes,)


@dataclass
class Findings:
    """What is to be said of cases whose label maps were looked at.

    Args:
        classes: how much of each there is.
        small: how often a class was left out of a slice for its few pixels.
        nameless: label maps to their numbers or colours without a name.
    """

    classes: Tally = field(default_factory=Tally)
    small: int = 0
    nameless: dict[str, list[str]] = field(default_factory=dict)

    def name(self, file: str, there: Iterable[str], known: Iterable[str]) -> None:
        """Note what of the numbers or colours in a file has no name."""
        unknown = sorted(set(there) - set(known), key=lambda key: (len(key), key))
        if unknown:
            self.nameless[file] = unknown

    def lines(self, where: str, split: str, min_pixels: int, table: str, said: set[str]) -> list[str]:
        """Lines for the user.

        Args:
            where: the list.
            split: of it.
            min_pixels: see `Slicing`.
            table: where names of labels can be written.
            said: numbers, colours and classes that lines on other splits of the dataset named, which are not named
                again; those of these lines are added.
        """
        first = {key: file for file, keys in reversed(self.nameless.items()) for key in keys}
        keys = sorted(first.keys() - said, key=lambda key: (len(key), key))
        empty = [name for name in dict.fromkeys(row.name for row in self.classes.absent) if name not in said]
        said |= {*keys, *empty}
        lines = []
        if keys:
            found = f"label{'s' if len(keys) > 1 else ''} {', '.join(keys)} without a name (in {first[keys[0]]})"
            lines.append(f"{where}: left out, {found}; {table_hint(keys, table)}")
        if empty:
            verb = "is" if len(empty) == 1 else "are"
            lines.append(f"{where}, {split}: {', '.join(empty)} {verb} in none of the label maps")
        if self.small:
            few = f"{counted(self.small, 'mask')} of fewer than {min_pixels} pixels (min_pixels)"
            lines.append(f"{where}, {split}: left out, {few}")
        return lines


def case_rows(cases: Sequence[Case], slicing: Slicing, findings: Findings | None = None) -> Iterator[Row]:
    """The rows of cases, in the order of the cases, then of planes, slices and classes.

    Args:
        cases: with the classes of their label maps.
        slicing: what becomes a row.
        findings: gets what is to be said of them.

    Raises:
        DatasetProblems: a label map that cannot be read, or of values that are no labels.
    """
    told = findings or Findings()
    problems: list[Problem] = []
    for case in progress_bar(cases, "counting labels", unit="case"):
        try:
            yield from _rows_of_case(case, slicing, told)
        except DatasetProblems as error:
            problems += error.problems
        except FileNotFoundError:
            problems.append(Problem(case.label, "a file", "nothing at this path"))
    if problems:
        raise DatasetProblems(list(dict.fromkeys([*problems, *check_records(first_slices(cases))])))


def first_slices(cases: Iterable[Case]) -> list[dict[str, Any]]:
    """A record of one slice of each case with all of its label maps, by which all faults of its files are found."""
    return [{"image": str(_place(case)), "label": [str(one) for one in _first_masks(case)]} for case in cases]


def _place(case: Case) -> Address:
    plane, index = ("axial", 0) if is_volume(case.image) else (None, None)
    return Address(case.image, plane, index, channel=case.channel)


def _first_masks(case: Case) -> Iterator[Address]:
    place = _place(case)
    for file, one in {part.file: part.what for part in case.parts}.items():
        yield replace(place, file=file, channel=None, labels=one.labels, colour=one.colour)


def _rows_of_case(case: Case, slicing: Slicing, told: Findings) -> Iterator[Row]:
    asked = replace(case, parts=tuple(part for part in case.parts if not part.what.ignored))
    if asked.parts and is_volume(case.image):
        _name_volume(case, told)
        yield from _volume_rows(asked, slicing, told)
    elif asked.parts:
        yield from _image_rows(case, asked, slicing, told)


def _volume_rows(case: Case, slicing: Slicing, told: Findings) -> Iterator[Row]:
    planes = _planes(case.label, slicing)
    for plane in planes:
        files = {part.file: label_counts(part.file, plane) for part in case.parts}
        length = len(open_stack(case.label, plane).slices)
        pixels = [class_pixels(files[part.file], part.what, length) for part in case.parts]
        if plane == planes[0]:
            told.classes.add(case.parts, pixels)
        for index in range(length):
            here = [int(one[index]) for one in pixels]
            image = Address(case.image, plane, index, slicing.context, case.channel)
            masks = [str(Address(part.file, plane, index, labels=part.what.labels)) for part in case.parts]
            name = f"{case.name}_{plane}_{index:0{len(str(length - 1))}d}"
            yield from _rows(case, str(image), masks, here, name, slicing, told)


def _planes(file: str, slicing: Slicing) -> tuple[str, ...]:
    """The planes to cut; of a single slice its own."""
    stack = open_stack(file, slicing.each[0])
    own = plane_of_slice(stack.file_shape, stack.file_affine)
    return (own,) if own else slicing.each


def _name_volume(case: Case, told: Findings) -> None:
    """Note the numbers of label maps that no class has; masks of their own need none."""
    for file in dict.fromkeys(part.file for part in case.parts):
        known = [part.what for part in case.parts if part.file == file]
        if all(one.labels for one in known):
            told.name(file, map(str, label_counts(file, "axial")), (str(n) for one in known for n in one.labels))


def _image_rows(case: Case, asked: Case, slicing: Slicing, told: Findings) -> Iterator[Row]:
    files = part_counts(case.parts)
    for file, (numbers, colours) in files.items():
        known = [part.what for part in case.parts if part.file == file]
        if all(one.key for one in known):
            told.name(file, map(str, numbers), (str(n) for one in known for n in one.labels))
            told.name(file, (f"#{one}" for one in colours), (one.key for one in known))
    here = [image_pixels(*files[part.file], part.what) for part in asked.parts]
    told.classes.add(asked.parts, [np.array([count]) for count in here])
    masks = [str(Address(part.file, labels=part.what.labels, colour=part.what.colour)) for part in asked.parts]
    whole = replace(slicing, min_pixels=0, all_slices=False)  # an image has what it has: it is part of no volume
    yield from _rows(replace(asked, name=""), case.image, masks, here, case.name, whole, told)


def _rows(
    case: Case,
    image: str,
    masks: Sequence[str],
    pixels: Sequence[int],
    name: str,
    slicing: Slicing,
    told: Findings,
) -> Iterator[Row]:
    """The rows of one slice or image."""
    taken = [slicing.all_slices or count >= max(1, slicing.min_pixels) for count in pixels]
    told.small += sum(bool(count) and not take for count, take in zip(pixels, taken, strict=True))
    absent = tuple(part.what for part, count in zip(case.parts, pixels, strict=True) if not count)
    place = Path(image)
    for part, mask, take in zip(case.parts, masks, taken, strict=True):
        if take:
            what = part.what
            yield Row(
                place,
                Path(mask),
                what.prompt,
                what.tags,
                what.name,
                patient=case.patient or None,
                name=name,
                case=case.name,
                modality=case.modality,
                absent=absent if slicing.absent else (),
            )
