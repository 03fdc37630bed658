# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The rules of ``data check``: each looks for one kind of thing in the lists and the decoded files of a dataset."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path

import numpy as np

from monai_vlsm.data.catalogue import DatasetCard, recognise
from monai_vlsm.data.check import record_problems
from monai_vlsm.data.facts import FileFacts
from monai_vlsm.data.foreground import Extent, foreground, measure
from monai_vlsm.data.masks import mask_channel
from monai_vlsm.data.problems import Problem
from monai_vlsm.data.rows import Row
from monai_vlsm.data.sources import SPLITS, files_below

__all__ = [
    "KINDS",
    "DecodedDataset",
    "Finding",
    "Seen",
    "exit_status",
    "find_all",
    "find_copies",
    "from_problem",
    "images_by_pixels",
    "look",
]

BOX_TOLERANCE = 3  # pixels; the authors' boxes of BUSI differ by 1 from its masks, once by 3

_KINDS = json.loads((package_files("monai_vlsm.data") / "kinds.json").read_text(encoding="utf-8"))
KINDS: dict[str, tuple[str, str]] = {kind: (severity, rule) for kind, (severity, rule) in _KINDS.items()}
"""Each kind of finding: its severity and its rule."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Args:
        kind: one of :data:`KINDS`.
        split: list in which it was found; several are joined with a comma.
        file: the file, record or patient.
        detail: what exactly.
    """

    kind: str
    split: str
    file: str
    detail: str


@dataclass(frozen=True)
class Seen:
    """Of one decoded file: hash of the pixels of an image, extent of a mask."""

    digest: bytes | None
    extent: Extent | None


@dataclass(frozen=True)
class DecodedDataset:
    """The lists of a dataset, and what its files are.

    Args:
        root: folder of the dataset.
        card: of the catalogue, if the dataset is one of it.
        rows: of each split.
        facts: of each path in them, with :class:`Seen` in ``more``.
    """

    root: Path
    card: DatasetCard | None
    rows: Mapping[str, list[Row]]
    facts: Mapping[str, FileFacts]

    def name(self, path: Path) -> str:
        """A path relative to the dataset where it can be."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)

    def patient(self, row: Row) -> str | None:
        """The patient of a record: what the list says, else what the name tells."""
        if row.patient is not None or self.card is None:
            return row.patient
        return self.card.patient(self.name(row.image).removeprefix("images/"))

    def splits_of(self, key: Callable[[Row], str | None]) -> dict[str, set[str]]:
        """What a function says of each record to the splits in which it says so; None is left out."""
        found: dict[str, set[str]] = defaultdict(set)
        for split, rows in self.rows.items():
            for row in rows:
                value = key(row)
                if value is not None:
                    found[value].add(split)
        return found


def exit_status(findings: Iterable[Finding]) -> int:
    """2 with errors, 1 with warnings, 0 otherwise."""
    severities = {KINDS[finding.kind][0] for finding in findings}
    return 2 if "error" in severities else 1 if "warning" in severities else 0


def look(array: np.ndarray, roles: set[str]) -> Seen:
    """What the rules need of one decoded file, for :func:`monai_vlsm.data.facts.examine_files`."""
    return Seen(_digest(array) if "image" in roles else None, _extent(array) if "mask" in roles else None)


def _digest(array: np.ndarray) -> bytes:
    """Hash of the pixels; a grey image stored as colour has that of the grey one."""
    if array.ndim == 3 and (array == array[..., :1]).all():
        array = array[..., 0]
    mark = f"{array.shape} {array.dtype}".encode()
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=16, key=mark).digest()


def _extent(array: np.ndarray) -> Extent | None:
    try:
        channel = mask_channel(array) if array.ndim in (2, 3) else array
    except ValueError:
        return None
    return measure(foreground(channel)) if channel.ndim == 2 else None


def find_all(data: DecodedDataset) -> Iterator[Finding]:
    """All findings in the lists and files of a dataset; the cost grows with their number, not with its square."""
    yield from _wrong_folder(data)
    for split, rows in data.rows.items():
        for row in rows:
            yield from _file_findings(split, row, data)
        yield from _name_findings(split, rows, data)
    yield from _shared_images(data)
    yield from _copies(data)
    yield from _patients(data)


def _wrong_folder(data: DecodedDataset) -> Iterator[Finding]:
    images = {str(row.image) for rows in data.rows.values() for row in rows}
    missing = sum(data.facts[image].missing for image in images)
    folder = data.root / "images"
    there = recognise(files_below(folder)) if missing > len(images) / 2 else None
    if there and there != data.card:
        detail = f"{missing} of {len(images)} images are missing; what is there looks like {there.name} ({there.title})"
        yield Finding("wrong folder", ", ".join(data.rows), str(folder), detail)


def _file_findings(split: str, row: Row, data: DecodedDataset) -> Iterator[Finding]:
    for kind, problem in record_problems(str(row.image), [str(row.mask)], data.facts):
        yield from_problem(kind, split, data.name(Path(problem.file)), problem)
    for path in (row.image, row.mask):
        place = data.facts[str(path)].place
        if place and place.second:
            yield Finding("two affines", split, data.name(path), "")
    fact = data.facts[str(row.mask)]
    extent = fact.more.extent if fact.more and not fact.mask_fault else None
    if extent is None:
        return
    name = data.name(row.mask)
    if not extent.pixels:
        yield Finding("empty mask", split, name, "")
    if extent.stray:
        yield Finding("stray pixels", split, name, f"{extent.stray} components")
    if data.card and data.card.boxes and row.box and not _agrees(extent, row.box):
        yield Finding("box", split, name, f"expected {list(row.box)}, found {list(extent.box or [])}")


def from_problem(kind: str, split: str, file: str, problem: Problem) -> Finding:
    """A fault of a list or of a file as a finding."""
    return Finding(kind, split, file, f"expected {problem.expected}, found {problem.found}")


def _agrees(extent: Extent, box: tuple[float, ...]) -> bool:
    """An empty mask has an official box of no size."""
    if extent.box is None:
        return box[2] <= box[0] or box[3] <= box[1]
    return max(abs(have - want) for have, want in zip(extent.box, box, strict=True)) <= BOX_TOLERANCE


def _name_findings(split: str, rows: list[Row], data: DecodedDataset) -> Iterator[Finding]:
    for (image, mask), count in Counter((row.image, row.mask) for row in rows).items():
        if count > 1:
            yield Finding("repeated record", split, data.name(image), f"{count} times with {data.name(mask)}")
    names: dict[str, dict[Path, None]] = defaultdict(dict)
    for row in rows:
        names[row.image.stem][row.image] = None
        if row.structure:
            names[f"{row.image}, {row.structure}"][row.mask] = None
    for name, files in names.items():
        if len(files) > 1:
            yield Finding("same name", split, name, ", ".join(map(data.name, files)))


def _shared_images(data: DecodedDataset) -> Iterator[Finding]:
    for image, splits in data.splits_of(lambda row: data.name(row.image)).items():
        if len(splits) > 1:
            yield Finding("image in two splits", _joined(splits), image, "")


def images_by_pixels(data: DecodedDataset) -> dict[bytes, dict[str, set[str]]]:
    """Hash of pixels to the images that have them, by the name in the dataset, and the splits of each."""
    groups: dict[bytes, dict[str, set[str]]] = defaultdict(dict)
    for image, splits in data.splits_of(lambda row: str(row.image)).items():
        seen = data.facts[image].more
        if seen and seen.digest:
            groups[seen.digest][data.name(Path(image))] = splits
    return groups


def _copies(data: DecodedDataset) -> Iterator[Finding]:
    for images in images_by_pixels(data).values():
        if len(images) > 1:
            where = set().union(*images.values())
            kind = "copy in two splits" if len(where) > 1 else "copy in one split"
            yield Finding(kind, _joined(where), next(iter(images)), _equal(images))


def find_copies(data: DecodedDataset, other: DecodedDataset) -> Iterator[Finding]:
    """Images of a dataset that have the pixels of images of another one."""
    others = images_by_pixels(other)
    for digest, images in images_by_pixels(data).items():
        for image, splits in images.items() if digest in others else ():
            detail = f"{_equal(others[digest])} of {other.root}"
            yield Finding("copy in another dataset", _joined(splits), image, detail)


def _equal(images: Mapping[str, set[str]]) -> str:
    return " = ".join(f"{image} ({_joined(splits)})" for image, splits in images.items())


def _patients(data: DecodedDataset) -> Iterator[Finding]:
    for patient, splits in data.splits_of(data.patient).items():
        if len(splits) > 1:
            yield Finding("patient in two splits", _joined(splits), patient, "")


def _joined(splits: Iterable[str]) -> str:
    return ", ".join(sorted(splits, key=SPLITS.index))
