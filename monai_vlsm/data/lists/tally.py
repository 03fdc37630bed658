# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How much of each class there is in the label maps of many cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from monai_vlsm.data.lists.cases import Part
from monai_vlsm.data.lists.classes import LabelClass

__all__ = ["ClassCount", "Tally"]


@dataclass(frozen=True)
class ClassCount:
    """How much of a class there is: in how many cases and axial slices, and of how many voxels.

    Args:
        label: number, numbers or colour; empty for masks of their own.
        name: as the table has it.
        prompt: its class prompt.
        cases: that have it.
        slices: that have it; an image is one.
        voxels: of all cases.
    """

    label: str
    name: str
    prompt: str
    cases: int = 0
    slices: int = 0
    voxels: int = 0


class Tally:
    """Counts classes case by case; those that are ignored are not asked for, and not counted.

    Args:
        classes: that have a row even where no label map of them can be read.
    """

    def __init__(self, classes: Iterable[LabelClass] = ()) -> None:
        self._rows: dict[tuple[str, str], ClassCount] = {}
        self._read: set[tuple[str, str]] = set()
        for one in classes:
            self._row(one)

    def _row(self, what: LabelClass) -> tuple[str, str]:
        key = what.key, what.name  # each record may have a table of its own, where 1 is something else
        if not what.ignored:
            self._rows.setdefault(key, ClassCount(what.key, what.name, what.text))
        return key

    def add(self, parts: Sequence[Part], pixels: Sequence[np.ndarray]) -> None:
        """Count the classes of one case.

        Args:
            parts: what it is labelled with.
            pixels: of each part in each slice, ``(N,)``; ``(1,)`` of an image.
        """
        own: dict[tuple[str, str], np.ndarray] = {}
        for part, count in zip(parts, pixels, strict=True):
            key = self._row(part.what)
            own[key] = own[key] + count if key in own else count
        for key in own.keys() & self._rows.keys():
            row, count = self._rows[key], own[key]
            self._rows[key] = replace(
                row,
                cases=row.cases + bool(count.any()),
                slices=row.slices + int((count > 0).sum()),
                voxels=row.voxels + int(count.sum()),
            )
            self._read.add(key)

    @property
    def rows(self) -> tuple[ClassCount, ...]:
        """All classes in the order in which they came."""
        return tuple(self._rows.values())

    @property
    def absent(self) -> tuple[ClassCount, ...]:
        """Classes of label maps that were read, none of which has a voxel of them."""
        return tuple(row for key, row in self._rows.items() if key in self._read and not row.voxels)
