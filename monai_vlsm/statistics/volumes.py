# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of whole volumes, for each structure and over all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from monai_vlsm.statistics.bootstrap import Estimate, estimates, estimates_over_groups
from monai_vlsm.statistics.columns import ALL, Columns, Grouped, natural, select
from monai_vlsm.statistics.reading import VOLUME_METRICS
from monai_vlsm.statistics.scores import unit_word

__all__ = ["OfVolumes", "VolumeGroup", "VolumeRow", "structure_names", "volume_groups", "volume_rows"]


@dataclass(frozen=True)
class OfVolumes(Grouped):
    """What belongs to one dataset, style, plane of slices and structure.

    Args:
        plane: of the slices.
        structure: its name, or the prompt where it has none; `ALL` is the mean over structures of their means.
    """

    plane: str
    structure: str


@dataclass(frozen=True)
class VolumeGroup(OfVolumes):
    """The rows of a structure, as a mask."""

    rows: np.ndarray


@dataclass(frozen=True)
class VolumeRow(OfVolumes):
    """Scores of one structure in the volumes of a dataset.

    Args:
        volumes: how many.
        units: number of what the bootstrap draws.
        unit: what that is, "patients" or "volumes".
        truth_empty: in how many the structure is not there.
        pred_empty: in how many nothing was found.
        tolerance: of the surface Dice in mm.
        dice: mean with interval.
        iou: the same.
        hd95: the same, in mm.
        surface_dice: the same.
    """

    volumes: int
    units: int
    unit: str
    truth_empty: int
    pred_empty: int
    tolerance: float
    dice: Estimate
    iou: Estimate
    hd95: Estimate
    surface_dice: Estimate


def structure_names(columns: Columns) -> np.ndarray:
    """What each row is about: the structure, or the prompt where it has no name."""
    return np.where(columns["structure"] == "", columns["prompt"], columns["structure"])


def volume_groups(columns: Columns) -> Iterator[VolumeGroup]:
    """Rows of each dataset, style, plane and structure, then of all structures where there are several.

    Args:
        columns: of one tag; structures come in their order.
    """
    structures = structure_names(columns)
    keys = list(zip(columns["dataset"], columns["style"], columns["plane"], strict=True))
    for key in sorted(set(keys), key=lambda key: [natural(text) for text in key]):
        here = np.array([one == key for one in keys])
        names = list(dict.fromkeys(structures[here]))
        for name in names:
            yield VolumeGroup(*key, name, here & (structures == name))
        if len(names) > 1:
            yield VolumeGroup(*key, ALL, here)


def volume_rows(columns: Columns) -> list[VolumeRow]:
    """A row for each of `volume_groups`."""
    return [_volume_row(group, select(columns, group.rows)) for group in volume_groups(columns)]


def _volume_row(group: VolumeGroup, found: Columns) -> VolumeRow:
    values, units = np.stack([found[name] for name in VOLUME_METRICS], axis=1), found["unit"]
    scores = (
        estimates_over_groups(values, units, structure_names(found))
        if group.structure == ALL
        else estimates(values, units)
    )
    counts = (len(set(found["case"])), len(set(units)), unit_word(units))
    truth_empty, pred_empty = (int((found[f"{side}_voxels"] == 0).sum()) for side in ("truth", "pred"))
    names = (group.dataset, group.style, group.plane, group.structure)
    return VolumeRow(*names, *counts, truth_empty, pred_empty, float(found["tolerance_mm"][0]), *scores)
