# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What slices of volumes and classes of label maps are: their file is looked at once, whatever many there are of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_vlsm.data.geometry import Geometry
from monai_vlsm.data.label_maps import read_label_map
from monai_vlsm.data.problems import DatasetProblems, MissingFileError, Problem
from monai_vlsm.data.volumes import Address, SliceStack, label_counts, open_stack

__all__ = ["WholeFile", "look_at_whole", "whole_of"]


@dataclass(frozen=True)
class WholeFile:
    """What is the same for all slices and classes of a file.

    Args:
        size: rows and columns, of a volume slices too; None if it cannot be used, then ``problem`` says why.
        place: where the slices of a volume lie in the patient.
        counts: pixels of each number in each slice, or in the one image.
        colours: pixels of each colour.
        problem: why it cannot be used.
        missing: whether there is no such file at all.
    """

    size: tuple[int, ...] | None = None
    place: Geometry | None = None
    counts: dict[int, np.ndarray] = field(default_factory=dict)
    colours: dict[str, int] = field(default_factory=dict)
    problem: Problem | None = None
    missing: bool = False

    def problem_of(self, address: Address, image: bool) -> Problem | None:
        """Why a part of the file cannot be used; that a mask has fewer slices, the size of its image will tell."""
        if image and self.size and address.plane and (address.index or 0) >= self.size[-1]:
            found = f"{self.size[-1]} in the {address.plane} plane"
            return Problem(address.file, "as many slices as the list names", found)
        if address.labels and self.colours and not self.counts:
            found = 'colours; name them in the table of labels, such as "labels": {"#ff0000": "NAME"}'
            return Problem(address.file, "a label map of numbers", found)
        return self.problem

    def is_empty(self, address: Address) -> bool:
        """Whether a mask has no pixel."""
        if address.colour:
            return not self.colours.get(address.colour)
        own = [self.counts[label] for label in address.labels or self.counts if label in self.counts]
        return not any(pixels[address.index or 0] for pixels in own if len(pixels) > (address.index or 0))


def whole_of(address: Address) -> Address:
    """What all parts share that can be looked at together: the file, its plane and its channel."""
    return replace(address.without_labels(), index=None, context=0)


def look_at_whole(address: Address, mask: bool) -> WholeFile:
    """Look at a file that addresses name; the slices of a volume are kept from then on.

    Args:
        address: from `whole_of`.
        mask: whether it is used as a label map; then its values must be whole numbers.
    """
    try:
        return _volume(address, mask) if address.plane else _image(address)
    except DatasetProblems as error:
        return WholeFile(problem=error.problems[0])
    except MissingFileError:
        return WholeFile(problem=Problem(address.file, "a file", "nothing at this path"), missing=True)


def _volume(address: Address, mask: bool) -> WholeFile:
    stack = open_stack(address.file, address.plane or "", address.channel)
    counts = label_counts(address.file, address.plane or "", address.channel) if mask else {}
    slices, rows, columns = stack.slices.shape
    return WholeFile((rows, columns, slices), _place(stack), counts)


def _place(stack: SliceStack) -> Geometry:
    facts = stack.facts
    axes = "".join(nib.orientations.aff2axcodes(facts.affine))
    return Geometry(stack.affine[:, [1, 2, 0, 3]], axes, facts.oriented, True, facts.second)


def _image(address: Address) -> WholeFile:
    labels = read_label_map(Path(address.file))
    counts = {label: np.array([count]) for label, count in labels.number_counts().items()}
    return WholeFile(labels.size, None, counts, labels.colour_counts())
