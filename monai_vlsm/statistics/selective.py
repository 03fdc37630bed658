# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Does a number of uncertainty know which masks are bad? Risk over coverage, and the area below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from monai_vlsm.counts import FEWEST
from monai_vlsm.statistics.bootstrap import Estimate, interval, resampled_units
from monai_vlsm.statistics.columns import ALL, Columns, Group, Grouped, by_group, natural, select
from monai_vlsm.statistics.scores import PROMPTS_SHOWN, by_tag

__all__ = ["Curve", "SelectiveRow", "area", "risk_curve", "selective_by_tag"]

BETTER, WORSE = "it does: better than a random order", "worse than a random order"
UNDECIDED, TOO_FEW = "not shown: the interval reaches a random order", "too few to tell"


@dataclass(frozen=True)
class Curve:
    """Mean risk of the k most certain of N masks, for k from 1 to N; risk is 1 - Dice.

    Args:
        risk: in the order of the uncertainty.
        ideal: in the order of the risk itself.
    """

    risk: np.ndarray
    ideal: np.ndarray


@dataclass(frozen=True)
class SelectiveRow(Grouped):
    """What an order by uncertainty is worth, of the masks of one dataset and style, or of one prompt among them.

    Args:
        prompt: the prompt; empty for all, whose order also tells an easy structure from a hard one.
        masks: number of rows with an uncertainty.
        units: number of what the bootstrap draws.
        area: below the curve (AURC): mean over k of the mean risk of the k most certain.
        random: that of a random order, which is the mean risk.
        ideal: that of the best order.
        gain: (random - area) / (random - ideal): 1 for the best order, 0 for a random one, below 0 for a worse one.
        half: mean Dice of the more certain half.
        verdict: what the interval of ``gain`` allows to say.
        curve: for the plot.
    """

    prompt: str
    masks: int
    units: int
    area: float
    random: float
    ideal: float
    gain: Estimate
    half: float
    verdict: str
    curve: Curve


def risk_curve(uncertainty: np.ndarray, risk: np.ndarray) -> np.ndarray:
    """Mean risk of the k most certain, for k from 1 to N (Geifman and El-Yaniv, NeurIPS 2017).

    Masks of equal uncertainty have no order: each of them counts with their mean risk, which is what a random order
    among them has on average.

    Args:
        uncertainty: (N,).
        risk: (N,).
    """
    _, index = np.unique(uncertainty, return_inverse=True)
    means = np.bincount(index, risk) / np.bincount(index)
    fair = means[np.sort(index)]
    return np.asarray(np.cumsum(fair) / np.arange(1, len(fair) + 1))


def area(uncertainty: np.ndarray, risk: np.ndarray) -> float:
    """Area below `risk_curve` (AURC): its mean."""
    return float(risk_curve(uncertainty, risk).mean())


def selective_by_tag(columns: Columns) -> dict[str, list[SelectiveRow]]:
    """Tag to a row for each dataset and style; empty where no mask has an uncertainty."""
    known = np.isfinite(columns.get("uncertainty", np.full(len(columns["tag"]), np.nan)))
    found = by_tag(select(columns, known & np.isfinite(columns["val_dice"])), _rows)
    return {tag: rows for tag, rows in found.items() if rows}


def _rows(columns: Columns) -> list[SelectiveRow]:
    return [row for rows in by_group(columns, _group_rows) for row in rows]


def _group_rows(group: Group, found: Columns) -> list[SelectiveRow]:
    """A row for all prompts, and one for each where there are from 2 to `PROMPTS_SHOWN`; datasets never mix."""
    if group.dataset == ALL:
        return []
    prompts = sorted(set(found["prompt"]), key=natural)
    asked = prompts if 2 <= len(prompts) <= PROMPTS_SHOWN else []
    return [_row(group, "", found), *(_row(group, one, select(found, found["prompt"] == one)) for one in asked)]


def _row(group: Group, prompt: str, found: Columns) -> SelectiveRow:
    uncertainty, risk, units = found["uncertainty"], 1 - found["val_dice"], found["unit"]
    curve = Curve(risk_curve(uncertainty, risk), risk_curve(risk, risk))
    gain, half = _gain_with_interval(uncertainty, risk, units), curve.risk[max(0, (len(risk) + 1) // 2 - 1)]
    sizes = len(risk), len(set(units))
    areas = float(curve.risk.mean()), float(risk.mean()), float(curve.ideal.mean())
    return SelectiveRow(
        group.dataset, group.style, prompt, *sizes, *areas, gain, 1 - float(half), _verdict(gain, sizes[1]), curve
    )


def _gain(uncertainty: np.ndarray, risk: np.ndarray) -> float:
    """NaN where all risks are alike, so that no order is better than another."""
    random, ideal = float(risk.mean()), area(risk, risk)
    return (random - area(uncertainty, risk)) / (random - ideal) if random - ideal > 1e-12 else float("nan")


def _gain_with_interval(uncertainty: np.ndarray, risk: np.ndarray, units: np.ndarray) -> Estimate:
    mean = _gain(uncertainty, risk)
    if not np.isfinite(mean):
        return Estimate(None, None, None)
    samples = np.array([_gain(uncertainty[rows], risk[rows]) for rows in resampled_units(units)])
    samples = samples[np.isfinite(samples)]
    if not len(samples):
        return Estimate(mean, None, None)
    return Estimate(mean, *interval(samples))


def _verdict(gain: Estimate, units: int) -> str:
    if units < FEWEST or gain.low is None or gain.high is None:
        return TOO_FEW
    return BETTER if gain.low > 0 else WORSE if gain.high < 0 else UNDECIDED
