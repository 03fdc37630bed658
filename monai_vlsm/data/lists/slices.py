# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From cases to rows: one for each slice and class, or for each class of a 2D image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from monai_vlsm.data.lists.cases import Case, Part
from monai_vlsm.data.lists.classes import LabelClass, table_hint
from monai_vlsm.data.lists.counting import class_pixels, image_counts, is_volume
from monai_vlsm.data.rows import Row
from monai_vlsm.data.volumes import PLANES, Address, label_counts, open_stack
from monai_vlsm.progress import progress_bar

__all__ = ["Findings", "Slicing", "case_rows"]


@dataclass(frozen=True)
class Slicing:
    """Which slices and classes of cases become rows.

    Args:
        planes: axial, coronal, sagittal, or all of them.
        context: how far the neighbours on either side are that come with a slice.
        min_pixels: of a class in a slice, below which the class is left out of the slice.
        all_slices: rows for all classes in all slices, whether they are there or not.
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
        seen: voxels of each class, by its name.
        small: how often a class was left out of a slice for its few pixels.
        nameless: numbers or colours without a name, to the first file that has them.
    """

    seen: Counter[str] = field(default_factory=Counter)
    small: int = 0
    nameless: dict[str, str] = field(default_factory=dict)

    def lines(self, where: str, min_pixels: int, table: str) -> list[str]:
        """Lines for the user.

        Args:
            where: what the cases are, such as "training of Task03_Liver".
            min_pixels: see `Slicing`.
            table: where names of labels can be written.
        """
        lines = []
        if self.nameless:
            keys = list(self.nameless)
            file = next(iter(self.nameless.values()))
            found = f"label{'s' if len(keys) > 1 else ''} {', '.join(keys)} without a name (in {file})"
            lines.append(f"{where}: left out, {found}; {table_hint(keys, table)}")
        lines += [f"{where}: {name} is in none of the label maps" for name, count in self.seen.items() if not count]
        if self.small:
            lines.append(
                f"{where}: a class has fewer than {min_pixels} pixels in a slice {self.small} times and is left out "
                "there (min_pixels)"
            )
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
    for case in progress_bar(cases, "counting labels", unit="case"):
        for part in case.parts:
            told.seen.setdefault(part.what.name, 0)
        if case.parts and is_volume(case.image):
            yield from _volume_rows(case, slicing, told)
        elif case.parts:
            yield from _image_rows(case, slicing, told)


def _volume_rows(case: Case, slicing: Slicing, told: Findings) -> Iterator[Row]:
    for plane in slicing.each:
        files = {part.file: label_counts(part.file, plane) for part in case.parts}
        length = _length(files, plane)
        pixels = [class_pixels(files[part.file], part.what, length) for part in case.parts]
        if plane == slicing.each[0]:
            _note(case, files, pixels, told)
        for index in range(length):
            here = [int(one[index]) for one in pixels]
            image = Address(case.image, plane, index, slicing.context, case.channel)
            masks = [str(Address(part.file, plane, index, labels=part.what.labels)) for part in case.parts]
            name = f"{case.name}_{plane}_{index:0{len(str(length - 1))}d}"
            yield from _rows(case, str(image), masks, here, name, slicing, told)


def _length(files: dict[str, dict[int, np.ndarray]], plane: str) -> int:
    """Slices of a label map; an empty one is asked itself."""
    for file, counts in files.items():
        for each in counts.values():
            return len(each)
        return len(open_stack(file, plane).slices)
    return 0


def _image_rows(case: Case, slicing: Slicing, told: Findings) -> Iterator[Row]:
    coloured = {part.file for part in case.parts if part.what.colour}
    files = {part.file: image_counts(part.file, part.file in coloured) for part in case.parts}
    here = [_of_image(*files[part.file], part.what) for part in case.parts]
    for file, (numbers, colours) in files.items():
        own = [part.what for part in case.parts if part.file == file]
        _note_names(file, map(str, numbers), {str(label) for one in own for label in one.labels}, told)
        _note_names(file, (f"#{one}" for one in colours), {one.key for one in own}, told)
    for part, count in zip(case.parts, here, strict=True):
        told.seen[part.what.name] += count
    masks = [str(Address(part.file, labels=part.what.labels, colour=part.what.colour)) for part in case.parts]
    yield from _rows(case, case.image, masks, here, case.name, slicing, told, case_name="")


def _of_image(numbers: dict[int, int], colours: dict[str, int], what: LabelClass) -> int:
    if what.colour:
        return colours.get(what.colour, 0)
    return sum(numbers.get(label, 0) for label in what.labels)


def _note(case: Case, files: dict[str, dict[int, np.ndarray]], pixels: list[np.ndarray], told: Findings) -> None:
    for part, count in zip(case.parts, pixels, strict=True):
        told.seen[part.what.name] += int(count.sum())
    for file, counts in files.items():
        own = [part.what for part in case.parts if part.file == file]
        if all(one.labels for one in own):
            _note_names(file, map(str, counts), {str(label) for one in own for label in one.labels}, told)


def _note_names(file: str, there: Iterator[str], known: set[str], told: Findings) -> None:
    for key in there:
        if key not in known:
            told.nameless.setdefault(key, file)


def _rows(
    case: Case,
    image: str,
    masks: Sequence[str],
    pixels: Sequence[int],
    name: str,
    slicing: Slicing,
    told: Findings,
    case_name: str | None = None,
) -> Iterator[Row]:
    """The rows of one slice or image."""
    taken = [slicing.all_slices or count >= max(1, slicing.min_pixels) for count in pixels]
    told.small += sum(bool(count) and not take for count, take in zip(pixels, taken, strict=True))
    absent = _absent(case.parts, pixels) if slicing.absent else ()
    for part, mask, take in zip(case.parts, masks, taken, strict=True):
        if take:
            what = part.what
            yield Row(
                Path(image),
                Path(mask),
                what.prompt,
                dict(what.tags),
                what.name,
                patient=case.patient,
                name=name,
                case=case.name if case_name is None else case_name,
                absent=absent,
            )


def _absent(parts: Sequence[Part], pixels: Sequence[int]) -> tuple[LabelClass, ...]:
    return tuple(part.what for part, count in zip(parts, pixels, strict=True) if not count)
