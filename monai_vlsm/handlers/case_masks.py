# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation found in one volume, put together from its slices and scored."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from typing import Any

import nibabel as nib
import numpy as np

from monai_vlsm.data.volumes import Address, Assembly, from_stack, open_stack
from monai_vlsm.data.volumes.cases import CasePlan, exclusive_groups, slice_runs
from monai_vlsm.metrics import volume_scores
from monai_vlsm.names import file_stem

__all__ = ["CASE_COLUMNS", "CaseMasks"]

CASE_COLUMNS = (
    *("case", "dataset", "patient", "structure", "labels", "prompt", "style", "tag", "plane"),
    *("dice", "iou", "hd95_mm", "surface_dice", "tolerance_mm"),
    *("truth_voxels", "pred_voxels", "truth_ml", "pred_ml", "spacing_mm", "slices"),
)
_DIGITS = 6
_MM3 = 1000  # in a millilitre


class CaseMasks:
    """The masks of a volume, filled slice by slice.

    Of the classes of one label map, the most probable one has a voxel. Classes that may overlap keep all of theirs
    (`monai_vlsm.data.volumes.cases.exclusive_groups`).

    Args:
        plan: which volume, and what was asked.
        threshold: lowest probability of a voxel of a mask.
    """

    def __init__(self, plan: CasePlan, threshold: float) -> None:
        label = plan.classes[0].label
        self.plan, self.stack = plan, open_stack(label.file, plan.plane, label.channel)
        maps, self.alone = exclusive_groups(plan.classes)
        shape = (len(self.stack.slices), *np.shape(self.stack.slices[0]))
        self.groups = [*maps, *([self.alone] if self.alone else [])]
        self.parts = [Assembly((shape[0], shape[1], shape[2]), len(group), threshold) for group in self.groups]
        self._last: tuple[Any, np.ndarray] | None = None
        self._where = {number: (part, at) for part, group in enumerate(self.groups) for at, number in enumerate(group)}

    def add(self, numbers: Sequence[int], index: int, probabilities: np.ndarray) -> None:
        """Put in what was found in a slice.

        Args:
            numbers: of the K classes.
            index: of the slice.
            probabilities: ``(K, rows, columns)``.
        """
        for part, assembly in enumerate(self.parts):
            own = [place for place, number in enumerate(numbers) if self._where[number][0] == part]
            if own:
                assembly.add(index, probabilities[own], prompts=[self._where[numbers[place]][1] for place in own])

    def missing(self) -> str:
        """Which slices have not been added, in words; empty if none."""
        return slice_runs({index for part in self.parts for index in part.missing()})

    def mask(self, number: int) -> np.ndarray:
        """The mask of a class: bool ``(slices, rows, columns)``."""
        part, at = self._where[number]
        return self.parts[part].mask(at) if number in self.alone else self.parts[part].labels() == at + 1

    def rows(self, tolerance: float) -> Iterator[dict[str, Any]]:
        """A row for each class, see `CASE_COLUMNS`.

        Args:
            tolerance: of the surface Dice, in mm.
        """
        shared = {"tolerance_mm": tolerance, **self._shared()}
        for number, what in enumerate(self.plan.classes):
            pred, truth = self.mask(number), what.truth(self._label_map(what.label))
            scores = volume_scores(pred, truth, self.stack.spacing, tolerance)
            names = {
                "structure": what.structure,
                "prompt": what.prompt,
                "labels": ",".join(map(str, what.label.labels)),
            }
            found = zip(("dice", "iou", "hd95_mm", "surface_dice"), scores, strict=True)
            rounded = {name: round(score, _DIGITS) for name, score in found}
            yield shared | names | rounded | self._amounts("truth", truth) | self._amounts("pred", pred)

    def _label_map(self, label: Address) -> np.ndarray:
        """The volume of a file; the last one is kept, since most classes share theirs."""
        key = (label.file, label.channel)
        if self._last is None or self._last[0] != key:
            self._last = key, np.asarray(open_stack(label.file, self.plan.plane, label.channel).slices)
        return self._last[1]

    def _shared(self) -> dict[str, Any]:
        """What all rows of the volume have."""
        names = {name: getattr(self.plan, name) for name in ("case", "dataset", "patient", "style", "tag", "plane")}
        spacing = " x ".join(f"{one:.6g}" for one in self.stack.spacing)
        return {**names, "spacing_mm": spacing, "slices": len(self.stack.slices)}

    def _amounts(self, side: str, mask: np.ndarray) -> dict[str, float]:
        voxels = int(np.count_nonzero(mask))
        millilitres = voxels * float(np.prod(self.stack.spacing)) / _MM3
        return {f"{side}_voxels": voxels, f"{side}_ml": round(millilitres, _DIGITS)}

    def files(self) -> Iterator[tuple[str, bytes]]:
        """What was found as NIfTI files on the grid of the label map: what to add to the name of each, and its bytes.

        One for the classes that cannot overlap, with the numbers of their own label map, and one of 0 and 1 for each of
        the others.
        """
        for part, group in enumerate(self.groups):
            if group is not self.alone:
                numbers = [0, *(self.plan.classes[number].label.labels[0] for number in group)]
                kind = np.uint8 if max(numbers) < 2**8 else np.uint16 if max(numbers) < 2**16 else np.int32
                yield f"_{part + 1}" if part else "", self._nifti(np.array(numbers, kind)[self.parts[part].labels()])
        for number in self.alone:
            what = self.plan.classes[number]
            yield f"_{file_stem(what.structure or what.prompt)}", self._nifti(self.mask(number).astype(np.uint8))

    def _nifti(self, stack: np.ndarray) -> bytes:
        affine = self.stack.file_affine
        image = nib.Nifti1Image(from_stack(stack, affine, self.plan.plane), affine)
        image.header.set_xyzt_units(self.stack.facts.unit)
        return gzip.compress(image.to_bytes(), mtime=0)
