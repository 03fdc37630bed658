# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes as stacks of slices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.volumes.facts import MILLIMETRES, VolumeFacts, from_plain, to_plain
from monai_vlsm.data.volumes.planes import stack_affine, to_stack
from monai_vlsm.data.volumes.slices import Slices
from monai_vlsm.data.volumes.store import (
    FACTS,
    NotKeptError,
    kept,
    key_of,
    read_source,
    source_facts,
    store_folder,
    stored_slices,
)

__all__ = ["SliceStack", "open_stack", "volume_facts"]

KNOWN = 1024  # stacks whose tables stay in memory
FEW = 2  # volumes in memory where no slices can be written


@dataclass(frozen=True)
class SliceStack:
    """All slices of a volume in one plane.

    Args:
        slices: ``(N, rows, columns)``, in the type of the file, or floats where the file scales its integers. Indices
            are a number, a slice or a list of numbers; ``np.asarray`` reads all.
        affine: ``(4, 4)``, from (slice, row, column) to mm to the patient's right, front and top.
        facts: what the volume is.
    """

    slices: Slices
    affine: np.ndarray
    facts: VolumeFacts

    def at(self, index: int) -> np.ndarray:
        """One slice, ``(rows, columns)``.

        Raises:
            ValueError: no such slice.
        """
        if not 0 <= index < len(self.slices):
            raise ValueError(f"no slice {index}: there are {len(self.slices)}, counted from 0")
        found: np.ndarray = self.slices[index]
        return found

    @property
    def file_affine(self) -> np.ndarray:
        """The affine for the axes of the file, ``(4, 4)``."""
        return self.facts.affine

    @property
    def file_shape(self) -> tuple[int, int, int]:
        """Size of the volume with the axes of the file."""
        return self.facts.shape

    @property
    def oriented(self) -> bool:
        """Whether the file says how the patient lies."""
        return self.facts.oriented

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distance of slices, rows and columns in mm."""
        unit = MILLIMETRES.get(self.facts.unit, 1.0)
        between, rows, columns = (float(one) * unit for one in np.linalg.norm(self.affine[:3, :3], axis=0))
        return between, rows, columns


def open_stack(file: str | Path, plane: str, channel: int | None = None) -> SliceStack:
    """The slices of a volume, of which none is read yet.

    The first call for a volume and plane unpacks it to a file (`monai_vlsm.data.volumes.store`).

    Args:
        file: a NIfTI file.
        plane: axial, coronal or sagittal.
        channel: which volume of a 4D file.

    Raises:
        MissingFileError: no such file.
        DatasetProblems: a file that cannot be read, has no value, or several volumes and no channel.
        ValueError: an unknown plane.
    """
    path = Path(file)
    key = key_of(path)
    try:
        return _stored(store_folder(), key, path, plane, channel)
    except NotKeptError:
        return _in_memory(key, path, plane, channel)


@lru_cache(maxsize=KNOWN)
def _stored(folder: Path, key: str, path: Path, plane: str, channel: int | None) -> SliceStack:
    slices, facts = stored_slices(path, plane, channel)
    return SliceStack(slices, stack_affine(facts.shape, facts.affine, plane), facts)


@lru_cache(maxsize=FEW)
def _in_memory(key: str, path: Path, plane: str, channel: int | None) -> SliceStack:
    array, facts = read_source(path, channel)
    return SliceStack(to_stack(array, facts.affine, plane), stack_affine(facts.shape, facts.affine, plane), facts)


def volume_facts(file: str | Path, channel: int | None = None) -> VolumeFacts:
    """What a volume is.

    Args:
        file: of the volume.
        channel: which volume of a 4D file; needed where there are several, else ``problem`` says so.
    """
    path = Path(file)
    try:
        return _facts(store_folder(), key_of(path), path, channel)
    except DatasetProblems as error:
        return VolumeFacts(problem=error.problems[0], channels=getattr(error.__cause__, "channels", 0))
    except FileNotFoundError:
        return VolumeFacts(problem=Problem(str(path), "a file", "nothing at this path"))


@lru_cache(maxsize=KNOWN)
def _facts(folder: Path, key: str, path: Path, channel: int | None) -> VolumeFacts:
    return from_plain(kept(path, FACTS, lambda: to_plain(source_facts(path, channel)), channel))
