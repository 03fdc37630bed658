# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What happens when a prompt asks for another structure of the image, or for something that is not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from monai_vlsm.counts import FEWEST
from monai_vlsm.statistics.bootstrap import Estimate, estimates
from monai_vlsm.statistics.columns import Columns, Group, Grouped, by_group, select
from monai_vlsm.statistics.reading import Run
from monai_vlsm.statistics.scores import by_tag

__all__ = ["DECIDES", "HARDLY", "PARTLY", "TOO_FEW", "UNKNOWN", "AbsentRow", "OtherRow", "absent_rows", "other_rows"]

Row = TypeVar("Row")
DECIDES, PARTLY = "the text decides", "the text is read, but does not decide"
HARDLY, UNKNOWN, TOO_FEW = "the text is hardly read", "cannot be told", "too few to tell"
LOST_SHARE = 0.1  # of the own mask's Dice; who loses less with the wrong prompt hardly reads it
LEAST_DICE = 0.1  # below it there is nothing to lose
FALSE_SHARE = 0.1  # of the images; in fewer, something that is not there is segmented
SAME_AMOUNT = 0.75  # of the pixels that the own prompt gets


@dataclass(frozen=True)
class OtherRow(Grouped):
    """Prompts of another structure of the same image, of one dataset and style.

    Args:
        probes: how many were asked, where the own mask is not empty and the own prompt has a score with this tag.
        left_out: how many were asked otherwise.
        own: Dice of the own mask with the own prompt.
        other: Dice of the own mask with the prompt of another structure.
        lost: the difference of the two, paired.
        asked: Dice of the mask that was asked for, with the same prompt.
        gained: ``asked`` less ``other``, paired.
        verdict: what that says about the text.
    """

    probes: int
    left_out: int
    own: Estimate
    other: Estimate
    lost: Estimate
    asked: Estimate
    gained: Estimate
    verdict: str


@dataclass(frozen=True)
class AbsentRow(Grouped):
    """Prompts of something that is not in the image, of one dataset and style.

    Args:
        probes: how many were asked.
        share: of the image that is segmented.
        answered: share of the probes in which anything is segmented.
        own_share: of the image that is segmented with the own prompt, where it has a row with this tag.
        own_dice: Dice of the own mask, where it is not empty, with the prompt of the absent thing.
        verdict: what that says about the text.
    """

    probes: int
    share: Estimate
    answered: Estimate
    own_share: Estimate
    own_dice: Estimate
    verdict: str


def other_rows(run: Run) -> dict[str, list[OtherRow]]:
    """Tag to a row for each dataset and style; empty if no such probe was made."""
    return _rows(run, "other", _other_row)


def absent_rows(run: Run) -> dict[str, list[AbsentRow]]:
    """Tag to a row for each dataset and style; empty if no such probe was made."""
    return _rows(run, "absent", _absent_row)


def _rows(run: Run, probe: str, measure: Callable[[Group, Columns], Row]) -> dict[str, list[Row]]:
    if run.probes is None:
        return {}
    chosen = select(_with_own_scores(run.probes, run.scores), run.probes["probe"] == probe)
    return by_tag(chosen, lambda of_tag: by_group(of_tag, measure))


def _with_own_scores(probes: Columns, scores: Columns) -> Columns:
    """Add Dice and pixels of the own prompt; NaN without a score of that prompt, style and tag."""
    names = ("dataset", "name", "style", "tag")
    own = {key: row for row, key in enumerate(zip(*(scores[n] for n in (*names, "prompt")), strict=True))}
    keys = zip(*(probes[n] for n in (*names, "own_prompt")), strict=True)
    rows = np.array([own.get(key, -1) for key in keys])
    found = {"dice_before": "val_dice", "pixels_before": "pred_pixels"}
    return {**probes, **{name: np.where(rows >= 0, scores[of][rows], np.nan) for name, of in found.items()}}


def _other_row(group: Group, found: Columns) -> OtherRow:
    usable = (found["own_pixels"] > 0) & np.isfinite(found["dice_before"])
    kept = select(found, usable)
    before, own, asked = kept["dice_before"], kept["dice_own"], kept["dice_asked"]
    values = np.stack([before, own, before - own, asked, asked - own], axis=1)
    own_score, other, lost, asked_score, gained = estimates(values, kept["unit"])
    return OtherRow(
        dataset=group.dataset,
        style=group.style,
        probes=int(usable.sum()),
        left_out=int((~usable).sum()),
        own=own_score,
        other=other,
        lost=lost,
        asked=asked_score,
        gained=gained,
        verdict=_other_verdict(own_score, lost, gained) if _enough(kept) else TOO_FEW,
    )


def _enough(found: Columns) -> bool:
    return len(set(found["unit"])) >= FEWEST


def _other_verdict(own: Estimate, lost: Estimate, gained: Estimate) -> str:
    if own.mean is None or lost.mean is None or own.mean < LEAST_DICE or lost.low is None:
        return UNKNOWN
    if lost.mean < LOST_SHARE * own.mean:
        return HARDLY
    return DECIDES if lost.low > 0 and gained.low is not None and gained.low > 0 else PARTLY


def _absent_row(group: Group, found: Columns) -> AbsentRow:
    own_dice = np.where(found["own_pixels"] > 0, found["dice_own"], np.nan)
    size = found["image_pixels"]
    answered = (found["pred_pixels"] > 0).astype(np.float64)
    values = np.stack([found["pred_pixels"] / size, answered, found["pixels_before"] / size, own_dice], axis=1)
    share, any_pixel, own_share, own = estimates(values, found["unit"])
    verdict = _absent_verdict(share, any_pixel, own_share) if _enough(found) else TOO_FEW
    return AbsentRow(group.dataset, group.style, len(size), share, any_pixel, own_share, own, verdict)


def _absent_verdict(share: Estimate, answered: Estimate, own_share: Estimate) -> str:
    if answered.mean is None or share.mean is None or answered.low is None:
        return UNKNOWN
    if answered.mean <= FALSE_SHARE:
        return DECIDES
    if own_share.mean is None:
        return UNKNOWN
    return HARDLY if share.mean >= SAME_AMOUNT * own_share.mean else PARTLY
