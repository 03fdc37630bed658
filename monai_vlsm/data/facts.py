# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What each file of a dataset is: decoded once, and known from then on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import MetaKeys
from PIL import Image

from monai_vlsm.data.foreground import foreground
from monai_vlsm.data.geometry import Geometry, geometry
from monai_vlsm.data.lossy import is_lossy
from monai_vlsm.data.masks import binary_fault, mask_channel, without_noise
from monai_vlsm.data.part_facts import WholeFile, look_at_whole, whole_of
from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.reader import ImageFileReader, verify_image
from monai_vlsm.data.slices import flat_slice
from monai_vlsm.data.volumes import Address
from monai_vlsm.data.volumes.formats import is_there
from monai_vlsm.data.volumes.values import value_range
from monai_vlsm.progress import progress_bar

__all__ = ["FileFacts", "KnownFiles", "examine_files"]


Look = Callable[[np.ndarray, set[str]], Any]


@dataclass(frozen=True)
class FileFacts:
    """What one decoded file is.

    Args:
        size: rows and columns, or more for a volume; None if the file cannot be read, then ``problem`` says why.
        channels: 1 or 3, or more for NIfTI.
        mask_fault: why the file is no binary mask, if it is used as one.
        empty: whether it is used as a mask and has no structure.
        problem: why it cannot be read.
        missing: whether there is no such file at all.
        more: what the caller's ``look`` returned.
        place: where the pixels lie in the patient; None for images.
        volume: of a slice: rows, columns and slices of its volume.
    """

    size: tuple[int, ...] | None = None
    channels: int = 1
    mask_fault: str | None = None
    empty: bool = False
    problem: Problem | None = None
    missing: bool = False
    more: Any = None
    place: Geometry | None = field(default=None, compare=False)
    volume: tuple[int, ...] | None = None


class KnownFiles:
    """The facts of files, made when they are first asked for and handed on from then on.

    The check of all files, the search for what is absent and the probes ask for the same masks: given one object of
    this class, they decode each of them once. A file that changes meanwhile is not noticed.
    """

    def __init__(self) -> None:
        self._facts: dict[str, FileFacts] = {}
        self._roles: dict[str, set[str]] = {}

    def facts(self, roles: Mapping[str, set[str]]) -> Mapping[str, FileFacts]:
        """Facts of files in their roles (see `examine_files`), and of all files asked for before."""
        unknown = {
            file: wanted | self._roles.get(file, set())
            for file, wanted in roles.items()
            if not wanted <= self._roles.get(file, set())
        }
        self._facts |= examine_files(unknown)
        self._roles |= unknown
        return self._facts

    def empty_masks(self, files: Iterable[str]) -> set[str]:
        """Those of the files that are masks without any structure; files that cannot be read are not among them."""
        wanted = {file: {"mask"} for file in files}
        facts = self.facts(wanted)
        return {file for file in wanted if facts[file].empty}


def examine_files(roles: Mapping[str, set[str]], look: Look | None = None) -> dict[str, FileFacts]:
    """Decode each file once, in several threads, with a progress bar.

    A volume, or a label map, is looked at once for all its slices and classes (`monai_vlsm.data.part_facts`).

    Args:
        roles: path, or address, to what the file is used for, ``"image"`` and ``"mask"``.
        look: called with the array, ``(rows, columns[, channels])``, and the roles of each readable file; what it
            returns comes back in :attr:`FileFacts.more`. The array itself is not kept. Noise of an empty lossy mask is
            taken away before, if the file is a mask only.
    """
    addresses = {file: Address.of(file) for file in roles}
    wholes: dict[Address, set[str]] = {}  # what slices and classes are of
    for file, address in addresses.items():
        if not address.whole:
            wholes.setdefault(whole_of(address), set()).update(roles[file])
    plain = [file for file, address in addresses.items() if address.whole]
    jobs: dict[str | Address, Callable[[], Any]] = {file: partial(_examine, file, roles[file], look) for file in plain}
    jobs |= {one: partial(look_at_whole, one, "mask" in wanted) for one, wanted in wholes.items()}
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(lambda job: job(), jobs.values())
        done = dict(zip(jobs, progress_bar(results, "checking files", len(jobs), "file"), strict=True))
    return {
        file: done[file] if address.whole else _part(file, address, done[whole_of(address)], roles[file], look)
        for file, address in addresses.items()
    }


def _part(file: str, address: Address, whole: WholeFile, roles: set[str], look: Look | None) -> FileFacts:
    """What a slice or a class is."""
    problem, mask = whole.problem_of(address, "image" in roles), "mask" in roles
    if problem or whole.size is None:
        return FileFacts(problem=problem, missing=whole.missing)
    reader = ImageFileReader("mask" if mask else "image")
    return FileFacts(
        whole.size[:2],
        empty=mask and whole.is_empty(address),
        more=look(reader.get_data(reader.read(file))[0], roles) if look else None,
        place=whole.place,
        volume=whole.size if address.plane else None,
    )


def _examine(file: str, roles: set[str], look: Look | None) -> FileFacts:
    """Decode one file in all its roles; keep the facts and let the pixels go."""
    if not is_there(file):
        return FileFacts(problem=Problem(file, "a file", "nothing at this path"), missing=True)
    path = Path(file)
    try:
        by_header = roles == {"image"} and look is None and Address.of(file).channel is None
        if by_header and not _is_float_image(path) and (seen := verify_image(path)):
            return FileFacts(*seen)
        reader = ImageFileReader("image" if "image" in roles else "colours")
        array, meta = reader.get_data(reader.read(file))
    except DatasetProblems as error:
        return FileFacts(problem=error.problems[0])
    if array.dtype.kind == "f" and (found := _no_values(array)):
        return FileFacts(problem=Problem(file, "values", found))
    return _facts(path, array, meta, roles, look)


def _no_values(array: np.ndarray) -> str:
    """Why values are none that a network can be shown; empty where they are."""
    try:
        low, high = value_range(array)
    except ValueError as error:
        return str(error)
    return "none: all are NaN (not a number) or infinite" if low > high else ""


def _is_float_image(path: Path) -> bool:
    """Whether it is a TIFF of floats, of which `verify_image` does not tell that all are NaN."""
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            return image.mode == "F"
    except Exception:  # no TIFF; what is wrong with others, `verify_image` says
        return False


def _facts(path: Path, array: np.ndarray, meta: Mapping[str, Any], roles: set[str], look: Look | None) -> FileFacts:
    place = geometry(array, meta)
    grey = bool(np.isnan(meta[MetaKeys.ORIGINAL_CHANNEL_DIM]))
    image = flat_slice(array, meta[MetaKeys.ORIGINAL_AFFINE]) if place and place.volume else None
    array = array if image is None else image
    size = array.shape if grey else array.shape[:-1]
    mask = "mask" in roles and len(size) == 2 and bool(array.size)
    lossy = roles != {"image"} and is_lossy(path)
    fault = binary_fault(array, lossy) if mask else None
    if lossy and "image" not in roles and array.size:
        array = without_noise(array)
    return FileFacts(
        size,
        1 if grey else array.shape[-1],
        fault,
        empty=mask and _is_empty(array, lossy),
        more=look(array, roles) if look else None,
        place=place,
    )


def _is_empty(array: np.ndarray, lossy: bool) -> bool:
    """Whether the rule of :class:`monai_vlsm.transforms.BinarizeMask` finds no structure in a mask."""
    try:
        channel = mask_channel(array)
    except ValueError:  # no mask at all; `mask_fault` says so
        return False
    return not foreground(without_noise(channel) if lossy else channel).any()
