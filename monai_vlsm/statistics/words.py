# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Numbers as text, and the sentences that explain them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from datetime import datetime

from monai_vlsm.prompts import CLASS, MASK_DERIVED, METADATA
from monai_vlsm.statistics.bootstrap import LEVEL, RESAMPLES, Estimate
from monai_vlsm.statistics.columns import ALL, Grouped
from monai_vlsm.tables import Cell

__all__ = [
    "EMPTY_RULE",
    "FEW",
    "FEW_TEXT",
    "INTERVALS",
    "PERCENT",
    "PRESENT_RULE",
    "TAG_MEANING",
    "TAG_TITLE",
    "VOLUME_INTERVALS",
    "VOLUME_RULE",
    "count",
    "dataset_name",
    "date",
    "decimals",
    "group_names",
    "number",
    "p_value",
    "percent",
    "plot_labels",
    "plural",
    "quoted",
    "short",
    "structure_name",
    "style_name",
    "surface_rule",
]

ALIKE = 1e-9
LABEL = 16  # letters of a name in a plot
MISSING, PERCENT = "\N{EN DASH}", "\N{NO-BREAK SPACE}%"
TAG_TITLE = {CLASS: "Class prompts", METADATA: "Metadata prompts", MASK_DERIVED: "Mask-derived prompts"}
TAG_MEANING = {
    CLASS: "They name what to look for and nothing else. Anyone can write them before seeing the mask: these are the "
    "scores to quote.",
    METADATA: "They also hold facts from the patient's file or the scan, such as age, view or findings. Quote these "
    "scores only with that condition.",
    MASK_DERIVED: "They hold words that were taken from the true mask, such as size, number, place, shape or that "
    "nothing is there. They give away part of the answer: no clinic can have these scores. Compare them with nothing "
    "else on this page.",
}
FEW = 20  # units below which a bootstrap interval tends to be too narrow
FEW_TEXT = f"With fewer than {FEW} images or patients, intervals tend to be too narrow."
EMPTY_RULE = (
    "Where truth and prediction are both empty, Dice and IoU are 1 and HD95 is 0. Where only one of them is empty, "
    "Dice and IoU are 0 and HD95 is the diagonal of the image."
)
PRESENT_RULE = (
    "The same without the masks that are empty in truth: the convention of work that leaves out normal images. "
    "Published scores follow one or the other, so compare those of equal conventions only."
)
VOLUME_RULE = (
    "The slices of each volume are put together and compared with the truth on its own grid, in millimetres. Of the "
    "structures of one label map, the most probable one has a voxel; a region that is made of others, as a whole "
    "tumour with its core, is scored by itself. Where truth and prediction are both empty, Dice and surface Dice are 1 "
    "and HD95 is 0. Where only one of them is empty, Dice and surface Dice are 0 and HD95 is the diagonal of the "
    "volume."
)
VOLUME_INTERVALS = (
    f"Below each mean stands its {100 * LEVEL:.0f}{PERCENT} interval, bootstrapped over patients, or over volumes "
    "where patients are not known. Over all structures, it is the mean of their means."
)
INTERVALS = (
    f"Below each mean stands its {100 * LEVEL:.0f}{PERCENT} interval: bootstrap percentiles of {RESAMPLES:,} samples "
    "of images, or of patients where they are known, with a fixed seed. HD95 is in pixels of the original image; "
    "smaller is better. Where all values are alike, there is no interval, which does not mean certainty."
)


def decimals(value: float | None, digits: int = 3) -> str:
    """A number with some decimals; a dash where there is none."""
    if value is None or math.isnan(value):
        return MISSING
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "\N{MINUS SIGN}")  # + 0.0: no minus before zero


def percent(value: float | None) -> str:
    """A share as a percentage with one decimal."""
    return MISSING if value is None or math.isnan(value) else f"{decimals(100 * value, 1)}{PERCENT}"


def number(estimate: Estimate, digits: int = 3, share: bool = False, sign: bool = False) -> Cell:
    """A mean with its interval, and how many values were left out of it."""
    values = [estimate.mean, estimate.low, estimate.high]
    mean, low, high = (percent(value) if share else decimals(value, digits) for value in values)
    plus = "+" if sign and estimate.mean is not None and estimate.mean > 0 else ""
    notes = [f"{low} to {high}"] if _has_width(estimate) else []
    notes += [f"{estimate.left_out:,} left out"] if estimate.left_out else []
    return Cell(plus + mean, tuple(notes))


def _has_width(estimate: Estimate) -> bool:
    """Whether there is an interval to show: of values that are all alike, the bootstrap knows no doubt."""
    return estimate.low is not None and estimate.high is not None and estimate.high - estimate.low > ALIKE


def count(value: int) -> Cell:
    """A whole number."""
    return Cell(f"{value:,}")


def p_value(p: float | None) -> Cell:
    """Three decimals, or that it is smaller."""
    return Cell("< 0.001" if p is not None and p < 0.001 else decimals(p))


def dataset_name(dataset: str) -> str:
    """A dataset in a table."""
    return "all datasets" if dataset == ALL else dataset or "(no name)"


def group_names(row: Grouped) -> tuple[str, str]:
    """Dataset and style of a row in a table."""
    return dataset_name(row.dataset), style_name(row.style)


def style_name(style: str) -> str:
    """A prompt style in a table."""
    return "all styles" if style == ALL else style or "(no style)"


def structure_name(structure: str) -> str:
    """A structure in a table."""
    return "all structures" if structure == ALL else structure or "(no name)"


def surface_rule(tolerances: Iterable[float]) -> str:
    """What the surface Dice is, within one tolerance or several."""
    told = " or ".join(f"{one:g}" for one in sorted(set(tolerances)))
    return f"Surface Dice is the share of both surfaces that lies within {told} mm of the other one."


def date(text: str) -> str:
    """A date and time as JSON has it, to the minute; any other text as it is."""
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return text


def plot_labels(names: Sequence[tuple[str, str]]) -> list[str]:
    """Labels of a plot from dataset and style of each line, as far as they differ; long ones are cut."""
    texts = [(short(dataset_name(dataset)), short(style_name(style))) for dataset, style in names]
    several = [len(set(column)) > 1 for column in zip(*names, strict=True)]
    shown = several if any(several) else [True, True]
    return [", ".join(itertools.compress(pair, shown)) for pair in texts]


def quoted(prompt: str) -> str:
    """A prompt in a text."""
    return f"“{prompt}”" if prompt.strip() else "(no prompt)"


def short(name: str, letters: int = LABEL) -> str:
    """A name in a plot, cut where it is too long."""
    return name if len(name) <= letters else f"{name[: letters - 1]}…"


def plural(number_of: int, word: str) -> str:
    """A number with its noun."""
    return f"{number_of:,} {word}" + ("" if number_of == 1 else "s")
