# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables of scores: one number never holds prompts of different tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from monai_vlsm.prompts import CLASS, TAGS
from monai_vlsm.statistics.bootstrap import Estimate, estimates
from monai_vlsm.statistics.columns import ALL, Columns, Group, Grouped, by_group, natural, select
from monai_vlsm.statistics.reading import METRICS

__all__ = [
    "PROMPTS_SHOWN",
    "EmptyRow",
    "PromptRow",
    "ScoreRow",
    "by_tag",
    "empty_rows",
    "plain_rows",
    "present_rows",
    "prompt_rows",
    "score_rows",
    "unit_word",
]

Value = TypeVar("Value")
Row = TypeVar("Row", bound=Grouped)
PLAIN_STYLE = "p1"  # the bare class
PROMPTS_SHOWN = 12  # more different prompts than these are sentences, not names of structures


@dataclass(frozen=True)
class ScoreRow(Grouped):
    """Scores of one dataset and style.

    Args:
        masks: number of rows, one for each structure of each image and style.
        images: number of images.
        units: number of what the bootstrap draws.
        unit: what that is, "images" or "patients".
        dice: mean with interval.
        iou: the same.
        hd95: the same, in pixels.
    """

    masks: int
    images: int
    units: int
    unit: str
    dice: Estimate
    iou: Estimate
    hd95: Estimate


@dataclass(frozen=True)
class PromptRow:
    """Scores of one dataset and prompt."""

    dataset: str
    prompt: str
    masks: int
    dice: Estimate
    iou: Estimate
    hd95: Estimate


@dataclass(frozen=True)
class EmptyRow(Grouped):
    """How often truth, prediction or both are empty, for one tag, dataset and style."""

    masks: int
    truth_empty: int
    pred_empty: int
    both_empty: int
    missed: int
    invented: int


def by_tag(columns: Columns, measure: Callable[[Columns], Value]) -> dict[str, Value]:
    """Apply a function to the rows of each tag on their own, in the order of what the tags give away."""
    return {tag: measure(select(columns, columns["tag"] == tag)) for tag in TAGS if (columns["tag"] == tag).any()}


def plain_rows(rows: Mapping[str, Sequence[Row]]) -> list[Row]:
    """The row of each dataset that may be quoted: of prompts of the class alone, with the plainest style."""
    found: dict[str, Row] = {}
    for row in rows.get(CLASS, []):
        if row.dataset != ALL and (row.dataset not in found or row.style == PLAIN_STYLE):
            found[row.dataset] = row
    return list(found.values())


def unit_word(units: np.ndarray) -> str:
    """What the units of some rows are: "patients", "images" or "volumes", or two of them."""
    return " and ".join(sorted({f"{unit.split(' ', 1)[0]}s" for unit in units}, reverse=True))


def _metrics(columns: Columns) -> list[Estimate]:
    return estimates(np.stack([columns[name] for name in METRICS], axis=1), columns["unit"])


def score_rows(columns: Columns) -> list[ScoreRow]:
    """A row for each dataset and style, and for all of them; ``columns`` holds one tag."""
    return by_group(columns, _score_row)


def present_rows(columns: Columns) -> list[ScoreRow]:
    """`score_rows` of the masks that are not empty in truth; nothing where all or none of them are.

    The other convention for images without the structure, such as the normal ones of BUSI: they are left out.
    """
    there = columns["truth_empty"] == 0
    return score_rows(select(columns, there)) if there.any() and not there.all() else []


def _score_row(group: Group, found: Columns) -> ScoreRow:
    images = len(set(zip(found["dataset"], found["image_id"], strict=True)))
    units = found["unit"]
    counts = (len(units), images, len(set(units)), unit_word(units))
    return ScoreRow(group.dataset, group.style, *counts, *_metrics(found))


def prompt_rows(columns: Columns) -> list[PromptRow]:
    """A row for each prompt of a dataset that has from 2 to `PROMPTS_SHOWN` of them; ``columns`` holds one tag."""
    return list(_prompt_rows(columns))


def _prompt_rows(columns: Columns) -> Iterator[PromptRow]:
    for dataset in sorted(set(columns["dataset"]), key=natural):
        found = select(columns, columns["dataset"] == dataset)
        prompts = sorted(set(found["prompt"]), key=natural)
        if 2 <= len(prompts) <= PROMPTS_SHOWN:
            for prompt in prompts:
                asked = select(found, found["prompt"] == prompt)
                yield PromptRow(dataset, prompt, len(asked["prompt"]), *_metrics(asked))


def empty_rows(columns: Columns) -> list[EmptyRow]:
    """Counts for each dataset and style; ``columns`` holds one tag."""
    return by_group(columns, _empty_row)


def _empty_row(group: Group, found: Columns) -> EmptyRow:
    truth, pred = found["truth_empty"] > 0, found["pred_empty"] > 0
    counts = (truth, pred, truth & pred, ~truth & pred, truth & ~pred)
    return EmptyRow(group.dataset, group.style, len(truth), *(int(mask.sum()) for mask in counts))
