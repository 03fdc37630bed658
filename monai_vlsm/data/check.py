# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Find every fault of a dataset before training starts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_vlsm.data.facts import FileFacts, KnownFiles
from monai_vlsm.data.geometry import TOLERANCE, misplaced
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.volumes import Address

__all__ = ["DatasetProblems", "Problem", "check_records", "record_problems", "validate_records"]

_MEND = "draw it on the image as it is, or, where the voxels are right, give it the affine of the image"
CHANNELS = (1, 3)


def check_records(records: Sequence[Mapping[str, Any]], files: KnownFiles | None = None) -> list[Problem]:
    """Decode every file of the records once and list what is wrong.

    Found are: missing, empty, truncated and unreadable files; images without any number (all NaN); images with a number
    of channels other than 1 or 3 after loading (images and DICOM always have 1 or 3, so this is about NIfTI); volumes
    where there is a mask, since training takes 2D images; masks that are not binary
    (:func:`monai_vlsm.data.binary_fault`); masks whose size is not that of their image, or that lie elsewhere by the
    affines of both (:func:`monai_vlsm.data.geometry.misplaced`). Sizes are compared after EXIF orientation. Slices are
    judged by their volumes, each once; classes of a label map are no binary masks, its values must be whole numbers.

    Args:
        records: with a path or address at ``image`` and, for training and evaluation, one or a list of them at
            ``label``.
        files: what is known of files already; what is found is added.

    Returns:
        the problems in the order of the records, each file and fault once; empty if all is well.
    """
    roles: dict[str, set[str]] = defaultdict(set)
    for record in records:
        roles[record["image"]].add("image")
        for mask in _masks(record):
            roles[mask].add("mask")
    facts = (files or KnownFiles()).facts(roles)
    found: dict[Problem, None] = {}
    for image, masks in _distinct(records, facts):
        found.update((problem, None) for _, problem in record_problems(image, masks, facts))
    return list(found)


def _distinct(
    records: Sequence[Mapping[str, Any]], facts: Mapping[str, FileFacts]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Images with their masks; sound slices of the same volumes once, since their faults are those of the volumes."""
    seen: set[tuple[str, ...]] = set()
    for record in records:
        image, masks = record["image"], _masks(record)
        if facts[image].volume and not any(facts[mask].problem for mask in masks):
            pair = tuple(_file(each) for each in (image, *masks))
            if pair in seen:
                continue
            seen.add(pair)
        yield image, masks


def _file(name: str) -> str:
    """The file of a path or address."""
    return Address.of(name).file


def _masks(record: Mapping[str, Any]) -> list[str]:
    label = record.get("label", [])
    return [label] if isinstance(label, str) else list(label)


def record_problems(image: str, masks: Sequence[str], facts: Mapping[str, FileFacts]) -> Iterator[tuple[str, Problem]]:
    """The faults of one image and its masks.

    Args:
        image: path of the image.
        masks: paths of its masks.
        facts: of all these paths, from :func:`monai_vlsm.data.facts.examine_files`.

    Yields:
        the kind of fault (missing, unreadable, channels, volume, not binary, size, affine) and the fault.
    """
    fact = facts[image]
    if fact.problem:
        yield _unread(fact), fact.problem
    elif fact.channels not in CHANNELS:
        yield "channels", Problem(image, "1 (grey) or 3 (colour) channels", f"{fact.channels} channels")
    elif fact.size is not None and len(fact.size) != 2 and masks:
        yield "volume", Problem(image, "a 2D image, since it has masks", f"a volume of {_text(fact.size)}")
    for mask in masks:
        yield from _mask_problems(_file(mask), facts[mask], Path(_file(image)).name, fact)


def _mask_problems(file: str, mask: FileFacts, name: str, image: FileFacts) -> Iterator[tuple[str, Problem]]:
    if mask.problem:
        yield _unread(mask), mask.problem
        return
    if mask.mask_fault:
        yield "not binary", Problem(file, "a binary mask (0 and 1, or 0 and 255)", mask.mask_fault)
    if image.size is None or mask.size is None:
        return
    volumes = image.volume and mask.volume
    size, found = (image.volume, mask.volume) if volumes else (image.size, mask.size)
    assert size is not None and found is not None
    if found != size:
        yield "size", Problem(file, f"the size of its image {name}, {_text(size)}", _text(found), "size")
    elif image.place and mask.place and (apart := misplaced(image.place, mask.place, size)):
        expected = f"the place of its image {name} within {TOLERANCE:g} pixels"
        yield "affine", Problem(file, expected, f"{apart}; {_MEND}", "affine")


def _unread(fact: FileFacts) -> str:
    return "missing" if fact.missing else "unreadable"


def _text(size: tuple[int, ...]) -> str:
    names = ("rows", "columns", "slices") if len(size) == 3 else ("rows", "columns")
    return " x ".join(f"{n} {name}" for n, name in zip(size, names, strict=False)) or "no pixels"


def validate_records(*datalists: Sequence[Mapping[str, Any]], files: KnownFiles | None = None) -> None:
    """Stop before anything is written when a file of any of the lists is missing or faulty.

    Args:
        datalists: records as from :func:`load_datalist`, for example those of training and validation.
        files: what is known of files already; what is found is added.

    Raises:
        DatasetProblems: (a ValueError) all faults of all files.
    """
    problems = check_records([record for records in datalists for record in records], files)
    if problems:
        raise DatasetProblems(problems)
