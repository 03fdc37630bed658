# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Does the text matter? Wrong and absent prompts, and existence, told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from monai_vlsm.counts import FEWEST
from monai_vlsm.report.blocks import Block, Heading, Hint, Paragraph
from monai_vlsm.statistics import probes, words
from monai_vlsm.statistics.columns import ALL
from monai_vlsm.statistics.existence import Existence
from monai_vlsm.statistics.probes import AbsentRow, OtherRow
from monai_vlsm.statistics.reading import EVALUATE
from monai_vlsm.statistics.results import RunResults
from monai_vlsm.statistics.scores import plain_rows
from monai_vlsm.statistics.words import count, number
from monai_vlsm.tables import Cell, Table

__all__ = ["existence_blocks", "probe_blocks"]

NO_PROBES = (
    "Not tested: probes.csv is missing. An evaluation writes it where images show several structures, or where "
    "--absent_prompts names things that are not there:"
)
PROBING = f"{EVALUATE} --absent_prompts \"['pancreas','left kidney']\""
OTHER_TEXT = (
    "Each image is asked for another structure that it shows, and the answer is compared with both masks. If the text "
    "is read, the answer moves from the own structure to the one that was asked for."
)
OTHER_RULE = (
    f"How to read it: “{probes.DECIDES}” where the own mask loses Dice and the answer fits the asked mask better than "
    f"the own one, both beyond the interval. “{probes.HARDLY}” where less than a tenth of the own mask's Dice is lost. "
    f"“{probes.PARTLY}” in between. With the own prompt's Dice below {probes.LEAST_DICE} nothing can be told, and with "
    f"fewer than {FEWEST} images or patients it is {probes.TOO_FEW}. Structures that overlap keep some Dice whatever "
    "is asked."
)
ABSENT_TEXT = (
    "Each image is asked for something that is not in it. The right answer is an empty mask; every pixel that is "
    "segmented is false."
)
ABSENT_RULE = (
    f"How to read it: “{probes.DECIDES}” where at most one image in ten gets any pixel. “{probes.HARDLY}” where at "
    f"least {100 * probes.SAME_AMOUNT:.0f}{words.PERCENT} as much is segmented as with the own prompt. "
    f"“{probes.PARTLY}” in between. With fewer than {FEWEST} images or patients it is {probes.TOO_FEW}."
)


def probe_blocks(run: RunResults) -> Iterator[Block]:
    """The sections on wrong and on absent prompts."""
    yield Heading("Asked for another structure", 3)
    yield from _other_blocks(run)
    yield Heading("Asked for something that is not there", 3)
    yield from _absent_blocks(run)


def _other_blocks(run: RunResults) -> Iterator[Block]:
    if not run.others:
        yield _not_probed(run, "no image has a second structure to ask for")
        return
    yield Paragraph(OTHER_TEXT)
    yield from (Paragraph(_other_sentence(row)) for row in plain_rows(run.others))
    rows = [(tag, row) for tag, found in run.others.items() for row in found]
    header = ["prompts", "dataset", "style", "probes", "own mask, own prompt", "own mask, other prompt"]
    header += ["own mask loses", "asked mask, other prompt", "reading"]
    yield Table(header, [(tag, *_other_cells(row)) for tag, row in rows])
    yield Paragraph(OTHER_RULE, small=True)
    yield from _few([row.probes for _, row in rows])
    left_out = sum(row.left_out for _, row in rows if row.dataset != ALL and row.style != ALL)
    if left_out:
        why = "their own mask is empty, or their own prompt has no score with the same style and tag"
        yield Paragraph(f"{words.plural(left_out, 'probe')} left out: {why}.")


def _other_sentence(row: OtherRow) -> str:
    own, other, asked = (words.decimals(score.mean) for score in (row.own, row.other, row.asked))
    moved = f"the own mask's Dice goes from {own} to {other}, and the mask that is asked for gets {asked}"
    return f"Class prompts on {words.dataset_name(row.dataset)}: {moved}: {row.verdict}."


def _other_cells(row: OtherRow) -> tuple[str | Cell, ...]:
    names = (*words.group_names(row), count(row.probes))
    return (*names, number(row.own), number(row.other), number(row.lost), number(row.asked), row.verdict)


def _absent_blocks(run: RunResults) -> Iterator[Block]:
    if not run.absents:
        yield _not_probed(run, "no prompt of something absent was asked; --absent_prompts names such things")
        return
    yield Paragraph(ABSENT_TEXT)
    yield from (Paragraph(_absent_sentence(row)) for row in plain_rows(run.absents))
    rows = [(tag, row) for tag, found in run.absents.items() for row in found]
    header = ["prompts", "dataset", "style", "probes", "images with anything segmented", "share of image segmented"]
    header += ["the same, own prompt", "Dice with own mask", "reading"]
    yield Table(header, [(tag, *_absent_cells(row)) for tag, row in rows])
    yield Paragraph(ABSENT_RULE, small=True)
    yield from _few([row.probes for _, row in rows])


def _few(numbers: Sequence[int]) -> Iterator[Block]:
    if any(number < words.FEW for number in numbers):
        yield Paragraph(words.FEW_TEXT, small=True)


def _absent_sentence(row: AbsentRow) -> str:
    answered, share, own = (words.percent(part.mean) for part in (row.answered, row.share, row.own_share))
    found = f"something is segmented in {answered} of the images, on average {share} of the image (own prompt: {own})"
    return f"Class prompts on {words.dataset_name(row.dataset)}: {found}: {row.verdict}."


def _absent_cells(row: AbsentRow) -> tuple[str | Cell, ...]:
    names = (*words.group_names(row), count(row.probes))
    shares = [number(share, share=True) for share in (row.answered, row.share, row.own_share)]
    return (*names, *shares, number(row.own_dice), row.verdict)


def _not_probed(run: RunResults, why: str) -> Block:
    return Paragraph(f"Not tested: in probes.csv, {why}.") if run.probed else Hint(NO_PROBES, PROBING)


def existence_blocks(run: RunResults) -> Iterator[Block]:
    """The section on scores of existence."""
    yield Heading("Existence: is it there at all?", 3)
    if not run.existence:
        yield Hint("Neither metrics.csv nor probes.csv has scores of existence. An evaluation writes them:", EVALUATE)
        return
    yield Paragraph(
        "For each prompt the model gives a score between 0 and 1 that the thing is there; below a threshold it answers "
        "with an empty mask. That is right for what is absent, and a miss for what is present."
    )
    yield from _threshold(run.facts)
    header = ("prompts", "asked", "number", "mean score", "answered with an empty mask")
    rows = [
        (tag, row.kind, count(row.prompts), number(row.score), number(row.emptied, share=True))
        for tag, existence in run.existence.items()
        for row in existence.rows
    ]
    yield Table(header, rows)
    for tag, existence in run.existence.items():
        if existence.separation is not None:
            yield Paragraph(_separation(tag, existence))


def _threshold(facts: Mapping[str, str]) -> Iterator[Block]:
    values = [value for name, value in facts.items() if name.rpartition(".")[2] == "existence_threshold"]
    if values:
        none = values[0] in ("0", "0.0")
        yield Paragraph(
            "This run has no threshold, so no mask was emptied."
            if none
            else f"The threshold of this run is {_short(values[0])}."
        )


def _short(value: str) -> str:
    """A number in three digits; what is none stays as it is, since anybody may have written the file."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value


def _separation(tag: str, existence: Existence) -> str:
    chance = words.percent(existence.separation)
    what = f"what is there scores higher than what is not (50{words.PERCENT} is chance)"
    return f"{words.TAG_TITLE[tag]}: in {chance} of all pairs, {what}."
