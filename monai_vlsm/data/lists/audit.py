# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Look a list of cases over: its files, its classes with their voxels, and labels that nobody named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.data.check import record_problems
from monai_vlsm.data.facts import FileFacts, KnownFiles
from monai_vlsm.data.findings import Finding, exit_status, from_problem
from monai_vlsm.data.lists.cases import Case, CaseList, Part
from monai_vlsm.data.lists.counting import case_pixels, is_volume, part_counts
from monai_vlsm.data.lists.slices import first_slices
from monai_vlsm.data.lists.tally import ClassCount, Tally
from monai_vlsm.data.problems import DatasetProblems
from monai_vlsm.data.volumes import label_counts
from monai_vlsm.progress import progress_bar

__all__ = ["CaseAudit", "audit_cases", "voxelless"]


@dataclass(frozen=True)
class CaseAudit:
    """All that was found in a list of cases.

    Args:
        file: of the list.
        parts: part of the list to cases, patients and axial slices in it.
        folds: fold of the list to the number of its cases.
        classes: of its label maps.
        findings: what is wrong.
        notes: lines on what was left out.
    """

    file: Path
    parts: Mapping[str, tuple[int, int, int]]
    folds: Mapping[int, int]
    classes: tuple[ClassCount, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    @property
    def status(self) -> int:
        """Exit status: 2 with errors, 1 with warnings, 0 otherwise."""
        return exit_status(self.findings)

    @property
    def rule(self) -> str:
        """Who validates, in words."""
        if self.folds:
            return "folds " + ", ".join(f"{fold} ({counted(size, 'case')})" for fold, size in self.folds.items())
        if self.parts.get("validation"):
            return "the list says who validates"
        if self.parts.get("training", (0, 2, 0))[1] < 2:
            return "the list does not say who validates, and has one patient only, who cannot train and validate"
        return "the list does not say who validates: a fifth of the patients will, drawn by the seed of the run"

    def json(self) -> dict[str, Any]:
        """Everything that was found, for ``json.dumps``."""
        names = ("cases", "patients", "slices")
        return {
            "list": str(self.file),
            "status": self.status,
            "parts": {part: dict(zip(names, sizes, strict=True)) for part, sizes in self.parts.items()},
            "folds": dict(self.folds),
            "classes": [asdict(one) for one in self.classes],
            "findings": [asdict(one) for one in self.findings],
            "notes": list(self.notes),
        }


def audit_cases(cases: CaseList) -> CaseAudit:
    """Read every file of a list of cases once and say what is wrong with it.

    Args:
        cases: from `monai_vlsm.data.lists.reading.read_list`.
    """
    parts = {"training": cases.training, "validation": cases.validation, "test": cases.test}
    parts = {part: own for part, own in parts.items() if own}
    tally = Tally(cases.classes)
    slices: dict[str, int] = {}
    for own in parts.values():
        for case in progress_bar(own, "counting labels"):
            slices[case.name] = _count(case, tally)
    findings = [finding for part, own in parts.items() for finding in _faults(part, own)]
    findings += [
        *_nameless(cases, parts),
        *voxelless(tally),
        *_useless(cases, tally),
        *_patients(parts),
        *_alone(cases),
    ]
    return CaseAudit(
        cases.file,
        {part: _sizes(own, slices) for part, own in parts.items()},
        {fold: len(names) for fold, names in cases.folds.items()},
        tally.rows,
        tuple(findings),
        cases.notes,
    )


def _count(case: Case, tally: Tally) -> int:
    """Count the classes of a case; its number of slices, 0 for files that cannot be read, which the check tells."""
    try:
        pixels = case_pixels(case)
    except (DatasetProblems, FileNotFoundError):
        return 0
    tally.add(case.parts, pixels)
    return len(pixels[0]) if pixels else 0


def _sizes(cases: Sequence[Case], slices: Mapping[str, int]) -> tuple[int, int, int]:
    return len(cases), len({case.patient for case in cases}), sum(slices[case.name] for case in cases)


def _faults(part: str, cases: Sequence[Case]) -> Iterator[Finding]:
    """What the check before a training would find, and places that two affines of a file tell differently."""
    records = first_slices(cases)
    roles: dict[str, set[str]] = defaultdict(set)
    for record in records:
        roles[record["image"]].add("image")
        for mask in record["label"]:
            roles[mask].add("mask")
    facts: Mapping[str, FileFacts] = KnownFiles().facts(roles)
    for record in records:
        for kind, problem in record_problems(record["image"], record["label"], facts):
            yield from_problem(kind, part, problem.file, problem)
        for file in (record["image"], *record["label"]):
            place = facts[file].place
            if place and place.second:
                yield Finding("two affines", part, file, "")


def _nameless(cases: CaseList, parts: Mapping[str, Sequence[Case]]) -> Iterator[Finding]:
    """Labels of the maps that the table does not name."""
    known = {str(label) for one in cases.classes for label in one.labels} | {one.key for one in cases.classes}
    for part, own in parts.items():
        for file, parts_of_file in {one.file: case.parts for case in own for one in case.parts}.items():
            others = [key for key in _keys(file, parts_of_file) if key not in known]
            if others:
                yield Finding("label without a name", part, file, ", ".join(others))


def _keys(file: str, parts: Sequence[Part]) -> list[str]:
    try:
        if is_volume(file):
            return [str(label) for label in label_counts(file, "axial")]
        numbers, colours = part_counts(parts)[file]
        return [*map(str, numbers), *(f"#{one}" for one in colours)]
    except (DatasetProblems, FileNotFoundError):
        return []


def voxelless(tally: Tally) -> Iterator[Finding]:
    """Classes that no label map has; an empty mask of its own is another matter."""
    for one in tally.absent:
        if one.label:
            yield Finding("class without voxels", "all", one.name, f"label {one.label}")


def _useless(cases: CaseList, tally: Tally) -> Iterator[Finding]:
    if tally.rows and len(tally.absent) == len(tally.rows):
        yield Finding("list", "all", str(cases.file), "none of its classes is in any of its label maps")


def _patients(parts: Mapping[str, Sequence[Case]]) -> Iterator[Finding]:
    where: dict[str, list[str]] = defaultdict(list)
    for part, own in parts.items():
        for patient in dict.fromkeys(case.patient for case in own):
            where[patient].append(part)
    for patient, found in where.items():
        if len(found) > 1:
            yield Finding("patient in two splits", ", ".join(found), patient, "")


def _alone(cases: CaseList) -> Iterator[Finding]:
    """One patient and no word on who validates: good for an evaluation, not for a training."""
    patients = {case.patient for case in cases.training}
    if len(patients) == 1 and not cases.folds and not cases.validation:
        yield Finding("one patient", "training", min(patients), "")
