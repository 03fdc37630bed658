# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Does it know when it is wrong? Calibration and risk over coverage, told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monai_vlsm.report.blocks import Block, Figures, Heading, Hint, Paragraph, Plot
from monai_vlsm.report.plots import coverage, reliability
from monai_vlsm.statistics import words
from monai_vlsm.statistics.bootstrap import LEVEL
from monai_vlsm.statistics.columns import ALL
from monai_vlsm.statistics.reading import EVALUATE
from monai_vlsm.statistics.results import RunResults
from monai_vlsm.statistics.selective import SelectiveRow
from monai_vlsm.statistics.words import count, number
from monai_vlsm.tables import Cell, Table

__all__ = ["calibration_blocks", "uncertainty_blocks"]

BINS = "share of foreground by probability (above), and where the pixels are (below)"
AREA_RULE = (
    "The masks are put in order, the most certain first. Risk is 1 minus Dice; its mean over the k most certain masks, "
    "for each k, makes the curve, and the mean of the curve is the area (AURC, smaller is better). A random order has "
    "the mean risk as its area. Gain is 1 for the best order, which only the truth knows, 0 for a random one and below "
    "0 for a worse one. Over all prompts, a number that only tells easy structures from hard ones has a gain too; the "
    "lines of single prompts tell whether it knows bad masks of one structure. Below the gain stands its "
    f"{100 * LEVEL:.0f}{words.PERCENT} interval."
)
PLOTS = 6


def calibration_blocks(run: RunResults) -> Iterator[Block]:
    """The section on calibration."""
    yield Heading("Calibration", 3)
    if run.calibration is None:
        yield Hint("Not measured: calibration.json is missing. An evaluation writes it:", EVALUATE)
        return
    yield Paragraph(
        "Of the pixels to which the model gives a probability of 0.8, eight in ten should be foreground. On the dashed "
        "line this is so; below it, the model is too sure. ECE is the mean distance from the line over all pixels, in "
        "ten bins of equal width; of single masks, the mean of their own. "
        "Most pixels are plain background, which makes it small: compare it between runs on the same images only."
    )
    header = ("prompts", "temperature", "ECE", "ECE of single masks", "pixels")
    yield Table(header, [line for tag, found in run.calibration.items() for line in _lines(tag, found)])
    parts = {tag: _parts(found) for tag, found in run.calibration.items()}
    texts = {
        f"{words.TAG_TITLE[tag]}{f', {name}' if len(kinds) > 1 else ''}": found["bins"]
        for tag, kinds in parts.items()
        for name, found in kinds.items()
    }
    yield Figures([Plot(reliability(bins), f"{title}: {BINS}.") for title, bins in texts.items()])


def _parts(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What was found without a temperature and, where the model has one, with it."""
    scaled = found.get("scaled")
    return {"temperature 1": found} | ({f"temperature {scaled['temperature']:.3g}": scaled} if scaled else {})


def _lines(tag: str, found: Mapping[str, Any]) -> Iterator[tuple[str | Cell, ...]]:
    for name, part in _parts(found).items():
        errors = [Cell(words.decimals(part.get(kind), 4)) for kind in ("ece", "ece_masks")]
        yield (tag, Cell(name.removeprefix("temperature ")), *errors, count(_pixels(part)))


def _pixels(found: Mapping[str, Any]) -> int:
    return int(sum(entry["pixels"] for entry in found["bins"]))


def uncertainty_blocks(run: RunResults) -> Iterator[Block]:
    """The section on uncertainty."""
    yield Heading("Uncertainty: does it know which masks are bad?", 3)
    if not run.selective:
        yield Hint("Not measured: metrics.csv has no column uncertainty. An evaluation writes it:", EVALUATE)
        return
    rows = [(tag, row) for tag, found in run.selective.items() for row in found]
    method = next((value for name, value in run.facts.items() if name.rpartition(".")[2] == "uncertainty"), "")
    yield Paragraph(f"{_source(method)}{AREA_RULE}")
    header = [
        "prompts",
        "dataset",
        "style",
        "prompt",
        "masks",
        "Dice, all",
        "Dice, more certain half",
        "AURC",
        "random order",
    ]
    yield Table([*header, "best order", "gain", "does it?"], [(tag, *_cells(row)) for tag, row in rows])
    drawn = [(tag, row) for tag, row in rows if row.style != ALL and not row.prompt][:PLOTS]
    yield Figures([Plot(coverage(row.curve.risk, row.curve.ideal), f"{_name(tag, row)}.") for tag, row in drawn])


def _source(method: str) -> str:
    return f"Where the number comes from: {method}. " if method else ""


def _name(tag: str, row: SelectiveRow) -> str:
    return f"{words.TAG_TITLE[tag]}, {', '.join(words.group_names(row))}: risk over coverage"


def _cells(row: SelectiveRow) -> tuple[str | Cell, ...]:
    dice = [Cell(words.decimals(value)) for value in (1 - row.random, row.half)]
    areas = [Cell(words.decimals(value, 4)) for value in (row.area, row.random, row.ideal)]
    prompt = words.quoted(row.prompt) if row.prompt else "all"
    return (*words.group_names(row), prompt, count(row.masks), *dice, *areas, number(row.gain), row.verdict)
