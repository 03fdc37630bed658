# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which images to show: the worst, those in the middle, and those where something was invented."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_vlsm.names import OverlayNames
from monai_vlsm.statistics.columns import Columns, natural, select
from monai_vlsm.statistics.reading import Run
from monai_vlsm.statistics.scores import by_tag

__all__ = ["Case", "Cases", "cases_by_tag", "overlay_files"]

SHOWN = 3  # of each kind
NO_TEXT = "p0"  # the style of empty prompts, where a case says nothing about text


@dataclass(frozen=True)
class Case:
    """One mask to show.

    Args:
        kind: "worst", "median" or "invented" (something was segmented, but nothing is there).
        name: of the image.
        dataset: of the image.
        prompt: what was asked.
        dice: score.
        iou: score.
        hd95: score in pixels.
        truth_pixels: size of the true mask.
        pred_pixels: size of the prediction.
        image: its file, if there is one.
    """

    kind: str
    name: str
    dataset: str
    prompt: str
    dice: float
    iou: float
    hd95: float
    truth_pixels: int
    pred_pixels: int
    image: Path | None


@dataclass(frozen=True)
class Cases:
    """The cases of one tag.

    Args:
        style: they are all of the style that has most masks, the empty prompt only if there is no other.
        masks: how many masks of that style and tag there are.
        with_overlay: how many of these have an image; if any have, only they are chosen from.
        cases: the chosen ones.
    """

    style: str
    masks: int
    with_overlay: int
    cases: list[Case]


def cases_by_tag(run: Run) -> dict[str, Cases]:
    """Tag to the cases to show."""
    images = overlay_files(run.scores, run.images)
    return by_tag({**run.scores, "overlay": images}, _cases)


def _cases(columns: Columns) -> Cases:
    counts = Counter(columns["style"])
    style = min(counts, key=lambda name: (name == NO_TEXT, -counts[name], natural(name)))
    of_style = select(columns, columns["style"] == style)
    has_overlay = np.array([image is not None for image in of_style["overlay"]])
    pool = select(of_style, has_overlay) if has_overlay.any() else of_style
    return Cases(style, len(has_overlay), int(has_overlay.sum()), _choose(pool))


def _choose(pool: Columns) -> list[Case]:
    there = np.flatnonzero(pool["truth_empty"] == 0)
    order = there[np.lexsort((pool["name"][there].astype(str), -pool["val_hd95"][there], pool["val_dice"][there]))]
    worst, rest = order[:SHOWN], order[SHOWN:]
    middle = max(0, len(order) // 2 - SHOWN - SHOWN // 2)  # where the median of all lies within the rest
    invented = np.flatnonzero((pool["truth_empty"] > 0) & (pool["pred_empty"] == 0))
    largest = invented[np.lexsort((pool["name"][invented].astype(str), -pool["pred_pixels"][invented]))][:SHOWN]
    kinds = {"worst": worst, "median": rest[middle : middle + SHOWN], "invented": largest}
    return [_case(pool, row, kind) for kind, rows in kinds.items() for row in rows]


def _case(pool: Columns, row: int, kind: str) -> Case:
    cells = {name: values[row] for name, values in pool.items()}
    return Case(
        kind=kind,
        name=cells["name"],
        dataset=cells["dataset"],
        prompt=cells["prompt"],
        dice=float(cells["val_dice"]),
        iou=float(cells["val_iou"]),
        hd95=float(cells["val_hd95"]),
        truth_pixels=int(cells["truth_pixels"]),
        pred_pixels=int(cells["pred_pixels"]),
        image=cells["overlay"],
    )


def overlay_files(scores: Columns, images: Mapping[str, Path]) -> np.ndarray:
    """The image of each row of ``metrics.csv``, or None.

    Named as the handler ``OverlayWriter`` does (`monai_vlsm.names.OverlayNames`).
    """
    keys = list(zip(scores["dataset"], scores["name"], scores["style"], strict=True))
    names = OverlayNames()
    stems = {key: names.stem(name, style) for key in dict.fromkeys(keys) for _, name, style in [key]}
    found = np.full(len(keys), None, dtype=object)
    found[:] = [images.get(stems[key]) for key in keys]
    return found
