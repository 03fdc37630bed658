# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One's own lists, with a file for each split: their label maps and volumes, and a validation where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.lists.cases import Case, CaseList, Part
from monai_vlsm.data.lists.classes import LabelClass
from monai_vlsm.data.lists.counting import is_stack
from monai_vlsm.data.lists.decathlon import Channels
from monai_vlsm.data.lists.files import case_names
from monai_vlsm.data.lists.slices import Findings, Slicing, case_rows
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.rows import Row

__all__ = ["find_mapped_rows", "mapped_rows", "rows_as_cases"]


def mapped_rows(
    rows: Iterable[Row], slicing: Slicing, channels: Channels | None = None, findings: Findings | None = None
) -> list[Row]:
    """Rows with one for each class of a label map, and for each slice of a volume; other rows as they are.

    Args:
        rows: of one list, in its order.
        slicing: which slices and classes become rows.
        channels: of volumes.
        findings: gets what is to be said of the label maps.

    Raises:
        DatasetProblems: label maps that cannot be read, or of values that are no labels.
        ChannelError: a volume of several channels, and none is chosen.
    """
    found, problems = find_mapped_rows(rows, slicing, channels, findings)
    if problems:
        raise DatasetProblems(problems)
    return found


def find_mapped_rows(
    rows: Iterable[Row], slicing: Slicing, channels: Channels | None = None, findings: Findings | None = None
) -> tuple[list[Row], list[Problem]]:
    """The same, and everything that is wrong with images whose label maps are left out; nothing is raised for them."""
    groups = [(image, list(own)) for image, own in groupby(rows, key=lambda row: row.image)]
    wanted = [image for image, own in groups if any(row.classes for row in own) or is_stack(image)]
    names = dict(zip(wanted, case_names(list(map(str, wanted)), Path()), strict=True))
    found: list[Row] = []
    problems: dict[Problem, None] = {}
    for image, own in groups:
        if image not in names:
            found += own
            continue
        case = _case(names[image], str(image), own, channels or Channels())
        try:
            found += case_rows([case], slicing, findings)
        except DatasetProblems as error:
            problems |= dict.fromkeys(error.problems)
            found += [row for row in own if not row.classes]
    return found, list(problems)


def _case(name: str, image: str, rows: Sequence[Row], channels: Channels) -> Case:
    file, channel = channels.of_files([image], image)
    parts = [Part(str(row.mask), one) for row in rows for one in row.classes or (_own_class(row),)]
    patient = rows[0].patient or (name if is_stack(image) else "")  # a volume is of one, an image nobody knows of whom
    return Case(name, file, tuple(parts), patient, channel=channel)


def _own_class(row: Row) -> LabelClass:
    """What a mask with a prompt shows."""
    texts = row.prompt.get("p1") or next(iter(row.prompt.values()))
    name = row.structure or (texts if isinstance(texts, str) else texts[0])
    return LabelClass(name, row.prompt, row.tags)


def rows_as_cases(rows: Sequence[Row], file: Path, dataset: str) -> tuple[CaseList, dict[str, list[Row]]]:
    """The images of a list as cases that can be split, and the rows of each by its name.

    Args:
        rows: of the list.
        file: of the list.
        dataset: its name.
    """
    images = list(dict.fromkeys(row.image for row in rows))
    names = dict(zip(images, case_names(list(map(str, images)), file.parent), strict=True))
    found: dict[str, list[Row]] = {name: [] for name in names.values()}
    for row in rows:
        found[names[row.image]].append(row)
    cases = tuple(
        Case(name, str(image), patient=found[name][0].patient or image_stem(image)) for image, name in names.items()
    )
    return CaseList(file, dataset, (), cases), found
