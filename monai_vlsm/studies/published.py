# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the paper printed, as a table that comes with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from monai_vlsm.io import read_rows

__all__ = ["Published", "published", "published_systems"]


@dataclass(frozen=True)
class Published:
    """One system on one dataset.

    Args:
        scores: Dice and IoU in percent, HD95 in pixels.
        parameters: trainable, in millions; None where the paper does not say.
        source: where it stands.
    """

    scores: tuple[float, float, float]
    parameters: float | None
    source: str


@lru_cache(maxsize=1)
def _table() -> dict[tuple[str, str], Published]:
    rows = read_rows(Path(__file__).with_name("paper.csv"))
    return {
        (row["system"], row["dataset"]): Published(
            (float(row["dice"]), float(row["iou"]), float(row["hd95"])),
            float(row["parameters"]) if row["parameters"] else None,
            row["source"],
        )
        for row in rows
    }


def published(system: str, dataset: str) -> Published | None:
    """What the paper printed for a system on a dataset, if it did."""
    return _table().get((system, dataset))


def published_systems() -> set[str]:
    """The systems of which the paper printed something."""
    return {system for system, _ in _table()}
