# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists with ``training``: those of the Medical Segmentation Decathlon and of Auto3DSeg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

from monai_vlsm.data.formats import image_stem
from monai_vlsm.data.lists.cases import Case, CaseList, Part
from monai_vlsm.data.lists.channels import chosen_channel
from monai_vlsm.data.lists.classes import LabelClass
from monai_vlsm.data.lists.files import PathError, apple_note, case_names, is_apple_double, listed_file
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.volumes import volumes_in
from monai_vlsm.names import folder_name

__all__ = ["Channels", "read_decathlon"]

TEST_KEYS = ("test", "testing")


@dataclass(frozen=True)
class Channels:
    """The channels of a list: what they are called, and which one is taken."""

    names: Sequence[str] = ()
    wanted: str | int | None = None

    def of_files(self, files: Sequence[str], where: str) -> tuple[str, int | None]:
        """The file to take and which of its volumes, of an image with one file or one for each channel.

        Raises:
            ChannelError: several and none is chosen.
        """
        if len(files) > 1:
            return files[chosen_channel(self.names, len(files), self.wanted, where)], None
        count = volumes_in(files[0]) if Path(files[0]).exists() else max(1, len(self.names))
        chosen = chosen_channel(self.names, count, self.wanted, where)
        return files[0], chosen if count > 1 else None

    def modality(self, channel: int | None) -> str:
        """What the channel is called, such as CT."""
        place = channel or 0
        return self.names[place] if place < len(self.names) else ""


@dataclass
class _Entry:
    """What one entry of a list says; paths are whole."""

    where: str
    listed: str  # the first file, as the list has it
    images: list[str]
    label: str = ""
    patient: str = ""
    fold: int | None = None


@dataclass
class _Reader:
    """Takes a list apart and gathers all that is wrong with it."""

    file: Path
    root: Path
    problems: list[Problem] = field(default_factory=list)
    apples: int = 0

    def entries(self, table: Mapping[str, Any], key: str, labelled: bool) -> list[_Entry]:
        """The sound entries of one part of the list."""
        content = table.get(key) or []
        if not isinstance(content, list):
            self.fault(key, "a list of cases", type(content).__name__)
            return []
        found = (self.entry(f"{key} {number}", one, labelled) for number, one in enumerate(content, 1))
        return [entry for entry in found if entry is not None]

    def entry(self, where: str, one: Any, labelled: bool) -> _Entry | None:
        if not labelled and not isinstance(one, Mapping):
            one = {"image": one}
        if not isinstance(one, Mapping):
            self.fault(where, "a table with image, label", f"{one!r:.60}")
            return None
        image = one.get("image")
        files: list[Any] = image if isinstance(image, list) else [image]
        if any(map(is_apple_double, files)):
            self.apples += 1
            return None
        try:
            if not files:
                raise PathError("image to be a path or a path for each channel", "an empty list")
            if labelled and "label" not in one:
                raise PathError("the keys image, label", f"no label among {', '.join(map(str, one))}")
            listed = [listed_file(self.root, file, "image") for file in files]
            images = [image for file in listed for image in _channel_files(file)]
            label = listed_file(self.root, one["label"], "label") if "label" in one else ""
            return _Entry(where, listed[0], images, label, _patient(one), self.fold(one))
        except PathError as error:
            self.fault(f"{where} ({files[0]})" if files else where, *error.args)
            return None

    def fold(self, one: Mapping[str, Any]) -> int | None:
        fold = one.get("fold")
        if fold is not None and (isinstance(fold, bool) or not isinstance(fold, int) or fold < 0):
            raise PathError("fold to be a whole number from 0 on", repr(fold))
        return fold

    def fault(self, where: str, expected: str, found: str) -> None:
        self.problems.append(Problem(f"{self.file}, {where}", expected, found))


def read_decathlon(
    file: Path, table: Mapping[str, Any], root: Path, classes: tuple[LabelClass, ...], channels: Channels
) -> CaseList:
    """The cases of a list with ``training``, and ``validation``, ``test`` or ``testing`` where there are such.

    Args:
        file: of the list.
        table: what it holds.
        root: folder that its paths start at; none may leave it.
        classes: of its label maps.
        channels: of its images.

    Raises:
        DatasetProblems: all entries that lack something, name files outside of the folder, or come twice.
        ChannelError: images of several channels, and none is chosen.
    """
    reader = _Reader(file, root)
    parts = {key: reader.entries(table, key, key not in TEST_KEYS) for key in ("training", "validation", *TEST_KEYS)}
    tests = [entry for key in TEST_KEYS for entry in parts.pop(key)]
    reader.problems += _repeated([*parts["training"], *parts["validation"], *tests], file)
    tests = [entry for entry in tests if entry.label]  # the others are there to be segmented
    entries = [*parts["training"], *parts["validation"], *tests]
    if not parts["training"] and not reader.problems:
        reader.fault("training", "at least one case", "none")
    if reader.problems:
        raise DatasetProblems(reader.problems)
    cases = dict(zip(map(id, entries), _cases(entries, root, classes, channels), strict=True))
    training, validation = (tuple(cases[id(entry)] for entry in parts[key]) for key in ("training", "validation"))
    folds: dict[int, set[str]] = {}
    for entry in parts["training"]:
        if entry.fold is not None:
            folds.setdefault(entry.fold, set()).add(cases[id(entry)].name)
    return CaseList(
        file,
        folder_name(root),
        classes,
        training,
        validation,
        tuple(cases[id(entry)] for entry in tests),
        {fold: frozenset(names) for fold, names in sorted(folds.items())},
        tuple(apple_note(file, reader.apples)),
    )


def _channel_files(file: str) -> list[str]:
    """A file, or where nnU-Net 1 has it instead, ``CASE_0000.nii.gz`` and on for ``CASE.nii.gz``."""
    path, stem = Path(file), image_stem(file)
    ending = path.name[len(stem) :]
    found = [] if path.exists() else sorted(path.parent.glob(f"{escape(stem)}_[0-9][0-9][0-9][0-9]{escape(ending)}"))
    return list(map(str, found)) or [file]


def _patient(one: Mapping[str, Any]) -> str:
    value = one.get("patient")
    return "" if value is None else str(value).strip()


def _repeated(entries: Sequence[_Entry], file: Path) -> Iterator[Problem]:
    """Images that the list has twice: in two parts of it they would be trained and tested on."""
    first: dict[str, str] = {}
    for entry in entries:
        before = first.setdefault(entry.images[0], entry.where)
        if before != entry.where:
            yield Problem(f"{file}, {entry.where}", "each image once", f"{entry.images[0]}, as {before} has it")


def _cases(
    entries: Sequence[_Entry], root: Path, classes: tuple[LabelClass, ...], channels: Channels
) -> Iterator[Case]:
    for entry, name in zip(entries, case_names([entry.listed for entry in entries], root), strict=True):
        image, channel = channels.of_files(entry.images, f"{entry.images[0]}")
        place = channel if len(entry.images) == 1 else entry.images.index(image)
        parts = tuple(Part(entry.label, one) for one in classes) if entry.label else ()
        yield Case(name, image, parts, entry.patient or name, channels.modality(place), channel)
