# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which records are the slices of one volume: what an evaluation puts together again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from monai_vlsm.data.volumes.address import Address
from monai_vlsm.data.volumes.stacks import open_stack
from monai_vlsm.errors import UserError
from monai_vlsm.prompts import CLASS, worst_tag

__all__ = ["CaseClass", "CasePlan", "MissingSlicesError", "Place", "exclusive_groups", "plan_cases", "slice_runs"]

Records = Sequence[Mapping[str, Any]]
RecordKey = tuple[str, str, str]  # dataset, name, style
_Volume = tuple[str, str, str, str]  # dataset, case, plane, style
_SHOWN = 8  # runs of slices that a message names


class MissingSlicesError(UserError, ValueError):
    """The records of a volume are not all of its slices."""


@dataclass(frozen=True)
class CaseClass:
    """One structure that is asked for in all slices of a volume.

    Args:
        structure: its name; empty where nobody says.
        prompt: what is asked; empty where it differs from slice to slice.
        label: its file and what in it counts, without a slice.
    """

    structure: str
    prompt: str
    label: Address

    def truth(self, volume: np.ndarray) -> np.ndarray:
        """Where it is in the volume of its file: bool of the same shape."""
        numbers = np.rint(volume) if volume.dtype.kind == "f" else volume  # as `as_labels` takes them
        mask: np.ndarray = np.zeros(volume.shape, dtype=bool) if self.label.labels else numbers != 0
        for label in self.label.labels:  # several times as fast as isin, for the few labels that there are
            mask |= numbers == label
        return mask


@dataclass(frozen=True)
class CasePlan:
    """A volume, its slices in one plane, asked in one style with prompts of one tag.

    Args:
        dataset: name of the dataset.
        case: name of the volume.
        patient: empty where it is not known.
        plane: axial, coronal or sagittal.
        style: of the prompts.
        tag: of the prompts; a structure has the one that gives away most in any slice.
        classes: what is asked for.
    """

    dataset: str
    case: str
    patient: str
    plane: str
    style: str
    tag: str
    classes: tuple[CaseClass, ...]

    @property
    def slices(self) -> int:
        """How many slices the volume has in the plane."""
        label = self.classes[0].label
        return len(open_stack(label.file, self.plane, label.channel).slices)


@dataclass(frozen=True)
class Place:
    """Where a mask of a record belongs: number of the plan, of the class in it, and of the slice."""

    plan: int
    number: int
    index: int


@dataclass(frozen=True, slots=True)
class _Mask:
    """One mask of a record."""

    key: RecordKey
    volume: _Volume
    patient: str
    index: int
    what: tuple[Address, str, int]  # label, structure, and which of those that are alike in both
    prompt: str
    tag: str


def plan_cases(records: Records) -> tuple[list[CasePlan], dict[RecordKey, list[Place]]]:
    """The volumes among the slices of some records.

    Args:
        records: with chosen prompts, as `monai_vlsm.transforms.in_styles` gives them; those of whole files are left
            out.

    Returns:
        the volumes in the order of the records; and dataset, name and style of each record to the places of its masks,
        in their order.

    Raises:
        MissingSlicesError: records that are not all slices of their volume, for each class; the message names them.
        ValueError: several records of one dataset, name and style.
    """
    masks = list(_masks(records))
    volumes: dict[_Volume, dict[Any, list[_Mask]]] = defaultdict(dict)
    for mask in masks:
        volumes[mask.volume].setdefault(mask.what, []).append(mask)
    plans: list[CasePlan] = []
    where: dict[Any, tuple[int, int]] = {}
    for volume, classes in volumes.items():
        by_tag: dict[str, list[list[_Mask]]] = defaultdict(list)
        for found in classes.values():
            by_tag[worst_tag({mask.tag for mask in found})].append(found)
        for tag, members in by_tag.items():
            where |= {(volume, found[0].what): (len(plans), number) for number, found in enumerate(members)}
            plans.append(_plan(volume, tag, members))
    places: dict[RecordKey, list[Place]] = defaultdict(list)
    for mask in masks:
        places[mask.key].append(Place(*where[mask.volume, mask.what], mask.index))
    return plans, dict(places)


def exclusive_groups(classes: Sequence[CaseClass]) -> tuple[list[list[int]], list[int]]:
    """Which classes cannot have the same voxel, and which may.

    Classes of one label map cannot, unless they share a number of it: of those, the ones with fewer numbers cannot, and
    a region that is made of them (the whole tumour with its core) may overlap with all. So may classes with the same
    numbers, and masks in files of their own.

    Returns:
        numbers of the classes of each label map; and those of the classes that may overlap with others.
    """
    maps: dict[tuple[str, int | None], list[int]] = defaultdict(list)
    taken: set[tuple[str, int | None, int]] = set()
    alike = Counter(one.label for one in classes)
    for number, one in sorted(enumerate(classes), key=lambda pair: len(pair[1].label.labels)):
        key = (one.label.file, one.label.channel)
        own = {(*key, label) for label in one.label.labels}
        if own and alike[one.label] == 1 and not own & taken:
            taken |= own
            maps[key].append(number)
    chosen = {number for group in maps.values() for number in group}
    return sorted(map(sorted, maps.values())), [number for number in range(len(classes)) if number not in chosen]


def _masks(records: Records) -> Iterator[_Mask]:
    keys: set[RecordKey] = set()
    seen: Counter[Any] = Counter()
    for record in records:
        labels = _each(record, "label")
        addresses = [Address.of(label) for label in labels]
        if not record.get("case") or any(address.plane is None for address in addresses):
            continue
        columns = [_each(record, key, len(labels)) for key in ("structure", "prompt", "prompt_style", "prompt_tag")]
        key = (str(record.get("dataset", "")), str(record["name"]), columns[2][0])
        if key in keys:
            raise ValueError(f"expected one record of each dataset, name and style, got several of {key}")
        keys.add(key)
        for address, structure, prompt, style, tag in zip(addresses, *columns, strict=True):
            index, label = address.index or 0, replace(address, plane=None, index=None, context=0)
            volume = (key[0], str(record["case"]), str(address.plane), style)
            seen[volume, index, label, structure] += 1
            what = (label, structure, seen[volume, index, label, structure])
            yield _Mask(key, volume, str(record.get("patient", "")), index, what, prompt, tag or CLASS)


def _each(record: Mapping[str, Any], key: str, count: int = 1) -> list[str]:
    value = record.get(key, "")
    return [value] * count if isinstance(value, str) else list(value)


def _plan(volume: _Volume, tag: str, members: Sequence[Sequence[_Mask]]) -> CasePlan:
    dataset, case, plane, style = volume
    classes = []
    for masks in members:
        label, structure, _ = masks[0].what
        prompts = {mask.prompt for mask in masks}
        classes.append(CaseClass(structure, masks[0].prompt if len(prompts) == 1 else "", label))
    plan = CasePlan(dataset, case, members[0][0].patient, plane, style, tag, tuple(classes))
    _require_whole(plan, members)
    return plan


def _require_whole(plan: CasePlan, members: Sequence[Sequence[_Mask]]) -> None:
    whole = set(range(plan.slices))
    for what, masks in zip(plan.classes, members, strict=True):
        if missing := sorted(whole - {mask.index for mask in masks}):
            name = what.structure or what.prompt or str(what.label)
            raise MissingSlicesError(
                f"{plan.case}: scores of a volume need all of its {len(whole)} {plan.plane} slices, and {name} lacks "
                f"{slice_runs(missing)}. Add them to the list, or leave these scores out: --case_scores False"
            )


def slice_runs(numbers: Iterable[int]) -> str:
    """Numbers of slices in words: ``2, 4 to 7``; of many the first."""
    found = set(numbers)
    starts, ends = (sorted(one for one in found if one + step not in found) for step in (-1, 1))
    runs = [str(first) if first == last else f"{first} to {last}" for first, last in zip(starts, ends, strict=True)]
    more = f" and {len(runs) - _SHOWN} more" if len(runs) > _SHOWN else ""
    return ", ".join(runs[:_SHOWN]) + more
