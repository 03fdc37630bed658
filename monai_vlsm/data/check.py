# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Find every fault of a dataset before training starts."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import MetaKeys
from PIL import Image
from tqdm import tqdm

from monai_vlsm.data.geometry import TOLERANCE, Geometry, geometry, misplaced
from monai_vlsm.data.lossy import is_lossy
from monai_vlsm.data.masks import binary_fault, without_noise
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.reader import PictureReader, glance
from monai_vlsm.data.slices import flat_slice

__all__ = [
    "DatasetProblems",
    "FileFacts",
    "Problem",
    "check_records",
    "examine_files",
    "record_problems",
    "require_sound",
]

_MEND = "draw it on the image as it is, or, where the voxels are right, give it the affine of the image"
BAR_FROM = 200  # files; fewer are done before anyone looks at a progress bar
CHANNELS = (1, 3)


Look = Callable[[np.ndarray, set[str]], Any]


@dataclass(frozen=True)
class FileFacts:
    """What one decoded file is.

    Args:
        size: rows and columns, or more for a volume; None if the file cannot be read, then ``problem`` says why.
        channels: 1 or 3, or more for NIfTI.
        mask_fault: why the file is no binary mask, if it is used as one.
        problem: why it cannot be read.
        missing: whether there is no such file at all.
        more: what the caller's ``look`` returned.
        place: where the pixels lie in the patient; None for pictures.
    """

    size: tuple[int, ...] | None = None
    channels: int = 1
    mask_fault: str | None = None
    problem: Problem | None = None
    missing: bool = False
    more: Any = None
    place: Geometry | None = field(default=None, compare=False)


def check_records(records: Sequence[Mapping[str, Any]]) -> list[Problem]:
    """Decode every file of the records once and list what is wrong.

    Found are: missing, empty, truncated and unreadable files; images without any number (all NaN); images with a number
    of channels other than 1 or 3 after loading (pictures and DICOM always have 1 or 3, so this is about NIfTI); volumes
    where there is a mask, since training takes 2D pictures; masks that are not binary
    (:func:`monai_vlsm.data.binary_fault`); masks whose size is not that of their image, or that lie elsewhere by the
    affines of both (:func:`monai_vlsm.data.geometry.misplaced`). Sizes are compared after EXIF orientation. More than
    200 files show a progress bar.

    Args:
        records: with a path at ``image`` and, for training and evaluation, a path or a list of paths at ``label``.

    Returns:
        the problems in the order of the records, each file and fault once; empty if all is well.
    """
    roles: dict[str, set[str]] = defaultdict(set)
    for record in records:
        roles[record["image"]].add("image")
        for mask in _masks(record):
            roles[mask].add("mask")
    facts = examine_files(roles)
    found = (problem for record in records for _, problem in record_problems(record["image"], _masks(record), facts))
    return list(dict.fromkeys(found))


def _masks(record: Mapping[str, Any]) -> list[str]:
    label = record.get("label", [])
    return [label] if isinstance(label, str) else list(label)


def examine_files(roles: Mapping[str, set[str]], look: Look | None = None) -> dict[str, FileFacts]:
    """Decode each file once, in several threads; more than 200 files show a progress bar.

    Args:
        roles: path to what the file is used for, ``"image"`` and ``"mask"``.
        look: called with the array, ``(rows, columns[, channels])``, and the roles of each readable file; what it
            returns comes back in :attr:`FileFacts.more`. The array itself is not kept. Noise of an empty lossy mask is
            taken away before, if the file is a mask only.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        done = pool.map(lambda file: _examine(file, roles[file], look), roles)
        bar = tqdm(done, "checking files", len(roles), unit="file", disable=len(roles) <= BAR_FROM)
        return dict(zip(roles, bar, strict=True))


def _examine(file: str, roles: set[str], look: Look | None) -> FileFacts:
    """Decode one file in all its roles; keep the facts and let the pixels go."""
    if not Path(file).is_file():
        found = "a folder" if Path(file).is_dir() else "nothing at this path"
        return FileFacts(problem=Problem(file, "a file", found), missing=True)
    path = Path(file)
    try:
        if roles == {"image"} and look is None and not _is_float_picture(path) and (seen := glance(path)):
            return FileFacts(*seen)
        reader = PictureReader("image" if "image" in roles else "colours")
        array, meta = reader.get_data(reader.read(file))
    except DatasetProblems as error:
        return FileFacts(problem=error.problems[0])
    if array.dtype.kind == "f" and not np.isfinite(array).any():
        return FileFacts(problem=Problem(file, "values", "none: all are NaN (not a number) or infinite"))
    return _facts(path, array, meta, roles, look)


def _is_float_picture(path: Path) -> bool:
    """Whether it is a TIFF of floats, of which a glance does not tell that all are NaN."""
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            return image.mode == "F"
    except Exception:  # no TIFF; what is wrong with others, `glance` says
        return False


def _facts(path: Path, array: np.ndarray, meta: Mapping[str, Any], roles: set[str], look: Look | None) -> FileFacts:
    place = geometry(array, meta)
    grey = bool(np.isnan(meta[MetaKeys.ORIGINAL_CHANNEL_DIM]))
    picture = flat_slice(array, meta[MetaKeys.ORIGINAL_AFFINE]) if place and place.volume else None
    array = array if picture is None else picture
    size = array.shape if grey else array.shape[:-1]
    lossy = roles != {"image"} and is_lossy(path)
    fault = binary_fault(array, lossy) if "mask" in roles and len(size) == 2 and array.size else None
    if lossy and "image" not in roles and array.size:
        array = without_noise(array)
    return FileFacts(
        size, 1 if grey else array.shape[-1], fault, more=look(array, roles) if look else None, place=place
    )


def record_problems(image: str, masks: Sequence[str], facts: Mapping[str, FileFacts]) -> Iterator[tuple[str, Problem]]:
    """The faults of one image and its masks.

    Args:
        image: path of the image.
        masks: paths of its masks.
        facts: of all these paths, from :func:`examine_files`.

    Yields:
        the kind of fault (missing, unreadable, channels, volume, not binary, size, affine) and the fault.
    """
    fact = facts[image]
    if fact.problem:
        yield _unread(fact), fact.problem
    elif fact.channels not in CHANNELS:
        yield "channels", Problem(image, "1 (grey) or 3 (colour) channels", f"{fact.channels} channels")
    elif fact.size is not None and len(fact.size) != 2 and masks:
        yield "volume", Problem(image, "a 2D picture, since it has masks", f"a volume of {_text(fact.size)}")
    for mask in masks:
        yield from _mask_problems(mask, facts[mask], Path(image).name, fact)


def _mask_problems(file: str, mask: FileFacts, name: str, image: FileFacts) -> Iterator[tuple[str, Problem]]:
    if mask.problem:
        yield _unread(mask), mask.problem
        return
    if mask.mask_fault:
        yield "not binary", Problem(file, "a binary mask (0 and 1, or 0 and 255)", mask.mask_fault)
    if image.size is None or mask.size is None:
        return
    if mask.size != image.size:
        yield "size", Problem(file, f"the size of its image {name}, {_text(image.size)}", _text(mask.size))
    elif image.place and mask.place and (found := misplaced(image.place, mask.place, image.size)):
        yield "affine", Problem(file, f"the place of its image {name} within {TOLERANCE:g} pixels", f"{found}; {_MEND}")


def _unread(fact: FileFacts) -> str:
    return "missing" if fact.missing else "unreadable"


def _text(size: tuple[int, ...]) -> str:
    names = ("rows", "columns", "slices") if len(size) == 3 else ("rows", "columns")
    return " x ".join(f"{n} {name}" for n, name in zip(size, names, strict=False)) or "no pixels"


def require_sound(*datalists: Sequence[Mapping[str, Any]]) -> None:
    """Stop before anything is written when a file of any of the lists is missing or faulty.

    Args:
        datalists: records as from :func:`load_datalist`, for example those of training and validation.

    Raises:
        DatasetProblems: (a ValueError) all faults of all files.
    """
    problems = check_records([record for records in datalists for record in records])
    if problems:
        raise DatasetProblems(problems)
