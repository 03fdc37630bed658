# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A case: a volume or a 2D image with what it is labelled with; and a list of them as a file on disk has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monai_vlsm.data.lists.classes import LabelClass

__all__ = ["Case", "CaseList", "Part"]


@dataclass(frozen=True)
class Part:
    """A class, and the file that shows where it is: a label map, or a mask of its own."""

    file: str
    what: LabelClass


@dataclass(frozen=True)
class Case:
    """One image or volume.

    Args:
        name: unique in its list.
        image: its file; of a case with a file for each channel the one that was asked for.
        parts: what it is labelled with; nothing for cases that are there to be segmented.
        patient: who it is.
        modality: such as CT; empty where nobody says.
        channel: which volume of a 4D file.
    """

    name: str
    image: str
    parts: tuple[Part, ...] = ()
    patient: str = ""
    modality: str = ""
    channel: int | None = None

    @property
    def label(self) -> str:
        """The label map; empty where there is none."""
        return self.parts[0].file if self.parts else ""

    @property
    def labels(self) -> dict[str, str]:
        """The number or numbers of each class to its name, as ``{"1": "liver"}``."""
        return {part.what.key: part.what.name for part in self.parts}


@dataclass(frozen=True)
class CaseList:
    """All that a list of one dataset says.

    Args:
        file: of the list.
        dataset: its name, which is that of the folder.
        classes: of its label maps.
        training: labelled cases that may be split.
        validation: cases that the list gives for validation.
        test: labelled cases that the list gives for tests.
        folds: number of a fold to the names of the cases that validate it.
        notes: lines on what was left out.
    """

    file: Path
    dataset: str
    classes: tuple[LabelClass, ...]
    training: tuple[Case, ...]
    validation: tuple[Case, ...] = ()
    test: tuple[Case, ...] = ()
    folds: Mapping[int, frozenset[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
