# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs compared with the first, image by image and volume by volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_vlsm.statistics.columns import ALL, Columns, Group, Grouped, by_group, select
from monai_vlsm.statistics.pairing import Difference, differences, pair
from monai_vlsm.statistics.reading import METRICS, Run
from monai_vlsm.statistics.scores import by_tag, unit_word
from monai_vlsm.statistics.volumes import OfVolumes, VolumeGroup, structure_names, volume_groups

__all__ = ["Comparison", "Difference", "PairedRow", "PairedVolumeRow", "VolumeComparison", "compare"]

KEY = ("dataset", "name", "structure", "style", "tag", "prompt")
VOLUME_KEY = ("dataset", "case", "structure", "style", "plane", "tag", "prompt")
VOLUME_SCORES = ("dice", "hd95_mm", "surface_dice")


@dataclass(frozen=True)
class PairedRow(Grouped):
    """Two runs on one dataset and style."""

    pairs: int
    units: int
    unit: str
    dice: Difference
    iou: Difference
    hd95: Difference


@dataclass(frozen=True)
class PairedVolumeRow(OfVolumes):
    """Two runs on one structure of a dataset, or on all of them."""

    pairs: int
    units: int
    unit: str
    dice: Difference
    hd95: Difference
    surface_dice: Difference


@dataclass(frozen=True)
class VolumeComparison:
    """Whole volumes of a run beside those of the first; see `Comparison`.

    Args:
        pairs: structures of volumes that both have: the same volume, structure, style, plane and prompt, and as many
            true voxels. Surface Dice of another tolerance are no pairs.
        only_first: without a counterpart in the other run.
        only_other: without a counterpart in the first.
        other_truth: left out because the number of true voxels differs.
        by_tag: tag to the rows.
    """

    pairs: int
    only_first: int
    only_other: int
    other_truth: int
    by_tag: dict[str, list[PairedVolumeRow]]


@dataclass(frozen=True)
class Comparison:
    """A run beside the first.

    Args:
        first: name of the first run.
        other: name of the other.
        pairs: masks that both have: the same image, structure, style and prompt, and as many true pixels.
        images: images that these belong to.
        only_first: masks without a counterpart in the other run.
        only_other: masks without a counterpart in the first.
        other_truth: masks left out because the number of true pixels differs: another size or version.
        by_tag: tag to a row for each dataset and style.
        volumes: the same of whole volumes; None where one of the runs has none.
    """

    first: str
    other: str
    pairs: int
    images: int
    only_first: int
    only_other: int
    other_truth: int
    by_tag: dict[str, list[PairedRow]]
    volumes: VolumeComparison | None = None


def compare(first: Run, other: Run) -> Comparison:
    """Pair the masks of two runs, and the structures of their volumes, and measure what changed."""
    found = pair(first.scores, other.scores, KEY, "truth_pixels", METRICS)
    return Comparison(
        first=first.name,
        other=other.name,
        pairs=len(found.rows["name"]),
        images=len(set(zip(found.rows["dataset"], found.rows["image_id"], strict=True))),
        only_first=found.only_first,
        only_other=found.only_other,
        other_truth=found.other_truth,
        by_tag=by_tag(found.rows, lambda of_tag: by_group(of_tag, _paired_row)),
        volumes=None if first.volumes is None or other.volumes is None else _volumes(first.volumes, other.volumes),
    )


def _volumes(first: Columns, other: Columns) -> VolumeComparison:
    found = pair(first, other, VOLUME_KEY, "truth_voxels", (*VOLUME_SCORES, "tolerance_mm"))
    unlike = found.rows["tolerance_mm"] != found.rows["new_tolerance_mm"]
    found.rows["surface_dice"] = np.where(unlike, np.nan, found.rows["surface_dice"])
    counts = (len(found.rows["case"]), found.only_first, found.only_other, found.other_truth)
    return VolumeComparison(*counts, by_tag(found.rows, _paired_volume_rows))


def _paired_row(group: Group, found: Columns) -> PairedRow:
    units = found["unit"]
    counts = (len(units), len(set(units)), unit_word(units))
    return PairedRow(group.dataset, group.style, *counts, *differences(found, METRICS))


def _paired_volume_rows(paired: Columns) -> list[PairedVolumeRow]:
    return [_paired_volume_row(group, select(paired, group.rows)) for group in volume_groups(paired)]


def _paired_volume_row(group: VolumeGroup, found: Columns) -> PairedVolumeRow:
    units, names = found["unit"], (group.dataset, group.style, group.plane, group.structure)
    counts = (len(units), len(set(units)), unit_word(units))
    structures = structure_names(found) if group.structure == ALL else None
    return PairedVolumeRow(*names, *counts, *differences(found, VOLUME_SCORES, structures))
