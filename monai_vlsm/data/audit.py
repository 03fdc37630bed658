# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Look a whole dataset over: broken files, odd masks, and images or patients that are in two splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai.config import PathLike

from monai_vlsm.data.catalogue import DatasetCard, dataset_card, known_datasets, recognise
from monai_vlsm.data.facts import examine_files
from monai_vlsm.data.findings import (
    KINDS,
    DecodedDataset,
    Finding,
    exit_status,
    find_all,
    find_copies,
    from_problem,
    look,
)
from monai_vlsm.data.lists.audit import voxelless
from monai_vlsm.data.lists.own import find_mapped_rows
from monai_vlsm.data.lists.slices import Findings, Slicing
from monai_vlsm.data.lists.tally import ClassCount, Tally
from monai_vlsm.data.rows import Row, find_rows
from monai_vlsm.data.sources import SPLITS, DatasetFolderError, Source, find_source, list_names
from monai_vlsm.names import user_path

__all__ = ["Audit", "SplitCounts", "audit_dataset"]

OF_TRAINING = ("train", "val")


@dataclass(frozen=True)
class SplitCounts:
    """How much a split holds: records, different images and masks, and records with an empty mask."""

    split: str
    records: int
    images: int
    masks: int
    empty: int


@dataclass(frozen=True)
class Audit:
    """All that was found in one dataset.

    Args:
        folder: of the dataset.
        card: of the catalogue, if the dataset is one of it.
        counts: of each split.
        findings: in the order of :data:`monai_vlsm.data.findings.KINDS`.
        patients: number of patients that the lists or the names tell of; 0 if they tell of none.
        classes: of its label maps; none for masks with prompts.
    """

    folder: Path
    card: DatasetCard | None
    counts: tuple[SplitCounts, ...]
    findings: tuple[Finding, ...]
    patients: int
    classes: tuple[ClassCount, ...] = ()

    @property
    def status(self) -> int:
        """Exit status: 2 with errors, 1 with warnings, 0 otherwise."""
        return exit_status(self.findings)


def audit_dataset(folder: PathLike, dataset: str | None = None, against: PathLike | None = None) -> Audit:
    """Decode every file of train, val and test once and say what is wrong with the dataset.

    The cost grows with the number of files, not with its square.

    Args:
        folder: a dataset in one of the layouts of ``docs/data.md``, or a folder of several.
        dataset: which of several; for a single dataset, the one of the catalogue that it should be.
        against: another dataset, of whose training and validation images copies are looked for in this one.

    Raises:
        MissingFolderError: no such folder.
        DatasetFolderError: no dataset, several, two lists for one split, or another dataset than expected.
    """
    inner, names = _locate(user_path(folder), dataset)
    sources = _sources(folder, inner, names, SPLITS)
    copies = None if against is None else _trained_images(against)
    tally = Tally()
    rows, faults = _read(sources, tally)
    first = next(iter(sources.values()))
    root = _root(first)
    card = _card(rows, root, dataset or first.dataset)
    data = DecodedDataset(root, card, rows, examine_files(_roles(rows), look))
    findings = [
        *faults,
        *voxelless(tally),
        *find_all(data),
        *(() if copies is None else find_copies(data, copies)),
        *(Finding("list not looked at", n, n, "") for n in names if n not in SPLITS),
    ]
    order = list(KINDS)
    found = sorted(dict.fromkeys(findings), key=lambda finding: order.index(finding.kind))
    counts = tuple(_count(split, data) for split in rows)
    classes = tuple(one for one in tally.rows if one.label)
    return Audit(root, card, counts, tuple(found), len(data.splits_of(data.patient)), classes)


def _trained_images(folder: PathLike) -> DecodedDataset:
    """The images that a training on a dataset sees, or is chosen by."""
    inner, names = _locate(user_path(folder), None)
    sources = _sources(folder, inner, names, OF_TRAINING)
    rows, _ = _read(sources, Tally())
    images = {str(row.image): {"image"} for part in rows.values() for row in part}
    return DecodedDataset(_root(next(iter(sources.values()))), None, rows, examine_files(images, look))


def _sources(folder: PathLike, inner: str | None, names: Sequence[str], splits: Sequence[str]) -> dict[str, Source]:
    sources = {split: find_source(folder, split, inner) for split in splits if split in names}
    if not sources:
        raise DatasetFolderError(f"{folder} has none of the lists {', '.join(splits)}, found: {', '.join(names)}")
    return sources


def _root(source: Source) -> Path:
    return source.file.parent.parent if source.official else source.file.parent


def _locate(folder: Path, dataset: str | None) -> tuple[str | None, list[str]]:
    """Which dataset below the folder, or None for the folder itself, and the names of its lists."""
    try:
        return dataset, list_names(folder, dataset)
    except DatasetFolderError as error:
        try:
            return None, list_names(folder)
        except DatasetFolderError:
            raise error from None


def _read(sources: Mapping[str, Source], tally: Tally) -> tuple[dict[str, list[Row]], list[Finding]]:
    """The rows of each split and what is wrong with them; the classes of label maps are counted."""
    rows: dict[str, list[Row]] = {}
    faults: list[Finding] = []
    for split, source in sources.items():
        found, problems = find_rows(source)
        told = Findings(tally)
        rows[split], unread = find_mapped_rows(found, Slicing(), findings=told)
        faults += [from_problem("list", split, problem.file, problem) for problem in [*problems, *unread]]
        faults += [
            Finding("label without a name", split, file, ", ".join(keys)) for file, keys in told.nameless.items()
        ]
        if found and not rows[split] and not unread:
            faults.append(Finding("list", split, str(source.file), "none of its classes is in any of its label maps"))
    return rows, faults


def _card(rows: Mapping[str, list[Row]], root: Path, expected: str) -> DatasetCard | None:
    found = recognise([_image_name(row, root) for part in rows.values() for row in part])
    if found and expected in known_datasets() and found.name != expected:
        wanted = dataset_card(expected)
        raise DatasetFolderError(
            f"{root}: expected {wanted.name} ({wanted.title}), but its lists look like {found.name} ({found.title})"
        )
    return found or (dataset_card(expected) if expected in known_datasets() and not any(rows.values()) else None)


def _image_name(row: Row, root: Path) -> str:
    folder = root / "images"
    return row.image.relative_to(folder).as_posix() if row.image.is_relative_to(folder) else row.image.name


def _roles(rows: Mapping[str, list[Row]]) -> dict[str, set[str]]:
    roles: dict[str, set[str]] = defaultdict(set)
    for part in rows.values():
        for row in part:
            roles[str(row.image)].add("image")
            roles[str(row.mask)].add("mask")
    return roles


def _count(split: str, data: DecodedDataset) -> SplitCounts:
    rows = data.rows[split]
    seen = [data.facts[str(row.mask)].more for row in rows]
    empty = sum(1 for mask in seen if mask and mask.extent and not mask.extent.pixels)
    return SplitCounts(split, len(rows), len({row.image for row in rows}), len({row.mask for row in rows}), empty)
