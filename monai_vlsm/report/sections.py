# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One run, told: what was evaluated, how well, and what the text did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from monai_vlsm.report.blocks import Block, Details, Figures, Gallery, Heading, Hint, Paragraph, Photo, Plot
from monai_vlsm.report.plots import ForestRow, forest
from monai_vlsm.report.text_sections import existence_blocks, probe_blocks
from monai_vlsm.report.uncertainty_sections import calibration_blocks, uncertainty_blocks
from monai_vlsm.report.volume_sections import volume_blocks
from monai_vlsm.statistics import words
from monai_vlsm.statistics.cases import Case, Cases
from monai_vlsm.statistics.reading import EVALUATE
from monai_vlsm.statistics.results import RunResults
from monai_vlsm.statistics.scores import EmptyRow, PromptRow, ScoreRow
from monai_vlsm.statistics.tables import prompt_table, score_table
from monai_vlsm.statistics.words import count
from monai_vlsm.tables import Cell, Table

__all__ = ["run_blocks"]

SPREAD = "Dot with bar: mean and interval. Small dots: single masks."
NO_OVERLAYS = "There are no images. An evaluation writes them to the folder overlays:"
SOME_OVERLAYS = "Not every mask has an image, so there may be worse ones than those shown. For all of them:"
ALL_OVERLAYS = f"{EVALUATE} --overlays all"
TOLD: tuple[dict[str, str], ...] = (  # sentences; what is not known is left out
    {"network": "network {}", "backbone": "backbone {}", "type": "{}", "encoders": "encoders {}"},
    {"zero_shot": "zero-shot: nothing was trained"},
    {"dataset_dir": "data {}", "dataset": "dataset {}", "split": "split {}", "styles": "prompt styles {}"},
    {"created": "evaluated {}", "monai_vlsm": "monai_vlsm {}"},
)
CASE_TITLES = {
    "worst": "Lowest Dice, where something is there",
    "median": "Around the median Dice, where something is there",
    "invented": "Nothing is there, but something was segmented",
}


def run_blocks(run: RunResults) -> Iterator[Block]:
    """The chapter of one run."""
    yield Heading(run.name)
    yield from _facts(run)
    for tag in run.scores:
        yield Heading(f"Scores: {words.TAG_TITLE[tag].lower()}", 3)
        yield from _scores(run.scores[tag], run.prompts[tag], run.dice[tag], words.TAG_MEANING[tag])
        if run.present.get(tag):
            yield Paragraph(words.PRESENT_RULE)
            yield score_table(run.present[tag])
    yield from volume_blocks(run)
    yield Heading("Empty masks", 3)
    yield Paragraph(words.EMPTY_RULE)
    yield _empty_table(run.empties)
    yield from probe_blocks(run)
    yield from existence_blocks(run)
    yield from calibration_blocks(run)
    yield from uncertainty_blocks(run)
    yield Heading("Cases", 3)
    yield from _cases(run.cases)


def _facts(run: RunResults) -> Iterator[Block]:
    sizes = [words.plural(run.images, "image"), words.plural(run.masks, "mask")]
    sizes += [words.plural(run.patients, "known patient")] if run.patients else []
    yield Paragraph(f"{_sentence(run.facts)}{', '.join(sizes)}.")
    if run.facts:
        yield Details("All that run.json says", Table(("setting", "value"), list(run.facts.items())))
    else:
        yield Hint("What was evaluated is not known: run.json is missing. An evaluation writes it:", EVALUATE)


def _sentence(facts: Mapping[str, str]) -> str:
    """What was evaluated, as far as it is known; names may be nested."""
    known = {
        name.rpartition(".")[2]: value
        for name, value in reversed(list(facts.items()))
        if value not in ("", "False", "not installed")
    }
    known |= {"created": words.date(known["created"])} if "created" in known else {}
    told = [", ".join(text.format(known[name]) for name, text in part.items() if name in known) for part in TOLD]
    return "".join(f"{text[0].upper()}{text[1:]}. " for text in told if text)


def _scores(
    rows: Sequence[ScoreRow], prompts: Sequence[PromptRow], dice: Sequence[np.ndarray], meaning: str
) -> Iterator[Block]:
    yield Paragraph(meaning)
    yield score_table(rows)
    yield Paragraph(words.INTERVALS, small=True)
    if any(row.units < words.FEW for row in rows):
        yield Paragraph(words.FEW_TEXT, small=True)
    if any(score.left_out for row in rows for score in (row.dice, row.iou, row.hd95)):
        yield Paragraph(
            "Scores that are no finite number are left out of the mean; the table says how many.", small=True
        )
    labels = words.plot_labels([(row.dataset, row.style) for row in rows])
    lines = [ForestRow(label, row.dice, values) for label, row, values in zip(labels, rows, dice, strict=True)]
    yield Figures([Plot(forest(lines, "Dice", (0, 1)), f"Dice of each line of the table above. {SPREAD}")])
    if prompts:
        yield Paragraph("By prompt:")
        yield prompt_table(prompts)


def _empty_table(empties: Mapping[str, Sequence[EmptyRow]]) -> Table:
    header = ["prompts", "dataset", "style", "masks", "true mask empty", "of these answered empty"]
    header += ["true mask not empty", "of these missed (answered empty)"]
    rows = [(tag, row) for tag, found in empties.items() for row in found]
    return Table(header, [(tag, *_empty_cells(row)) for tag, row in rows])


def _empty_cells(row: EmptyRow) -> tuple[str | Cell, ...]:
    return (
        *words.group_names(row),
        count(row.masks),
        count(row.truth_empty),
        _share(row.both_empty, row.truth_empty),
        count(row.masks - row.truth_empty),
        _share(row.missed, row.masks - row.truth_empty),
    )


def _share(part: int, whole: int) -> Cell:
    return Cell(f"{part:,}", (words.percent(part / whole),)) if whole else Cell(words.MISSING)


def _cases(cases: Mapping[str, Cases]) -> Iterator[Block]:
    if any(found.with_overlay < found.masks for found in cases.values()):
        yield Hint(SOME_OVERLAYS if any(found.with_overlay for found in cases.values()) else NO_OVERLAYS, ALL_OVERLAYS)
    for tag, found in cases.items():
        yield Heading(words.TAG_TITLE[tag], 4)
        yield Paragraph(_chosen_from(found))
        for kind, title in CASE_TITLES.items():
            photos = [_photo(case) for case in found.cases if case.kind == kind]
            if photos:
                yield Gallery(title, photos, shown=found.with_overlay > 0)


def _chosen_from(found: Cases) -> str:
    style = f"Prompts of style {words.style_name(found.style)}."
    if 0 < found.with_overlay < found.masks:
        share = f"{found.with_overlay:,} of {words.plural(found.masks, 'mask')}"
        return f"{style} Chosen from the {share} that have an image."
    return f"{style} Chosen from {words.plural(found.masks, 'mask')}."


def _photo(case: Case) -> Photo:
    scores = f"Dice {words.decimals(case.dice)}, IoU {words.decimals(case.iou)}, HD95 {words.decimals(case.hd95, 1)}"
    if case.kind == "invented":
        scores = f"{case.pred_pixels:,} pixels segmented"
    elif not case.pred_pixels:
        scores += "; nothing was segmented"
    return Photo(case.image, words.quoted(case.prompt), scores, f"{words.dataset_name(case.dataset)}: {case.name}")
