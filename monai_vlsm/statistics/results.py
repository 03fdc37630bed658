# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All numbers of a report, before they become words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_vlsm.prompts import TAGS
from monai_vlsm.statistics.bootstrap import LEVEL, RESAMPLES, SEED
from monai_vlsm.statistics.cases import Cases, cases_by_tag
from monai_vlsm.statistics.columns import clean, groups
from monai_vlsm.statistics.comparison import Comparison, compare
from monai_vlsm.statistics.existence import Existence, existence_by_tag
from monai_vlsm.statistics.probes import AbsentRow, OtherRow, absent_rows, other_rows
from monai_vlsm.statistics.reading import Run
from monai_vlsm.statistics.scores import (
    EmptyRow,
    PromptRow,
    ScoreRow,
    by_tag,
    empty_rows,
    present_rows,
    prompt_rows,
    score_rows,
)
from monai_vlsm.statistics.selective import SelectiveRow, selective_by_tag
from monai_vlsm.statistics.volumes import VolumeRow, volume_rows

__all__ = ["Results", "RunResults", "measure", "plain"]


@dataclass(frozen=True)
class RunResults:
    """What is said of one run; tables by tag, in the order of what the tags give away.

    Args:
        name: of the run.
        images: how many.
        masks: how many different structures of images.
        patients: how many are known; 0 if the lists do not tell.
        facts: flat names and values of ``run.json``.
        scores: by tag.
        prompts: scores by prompt, where there are few different ones.
        volumes: scores of whole volumes by tag; nothing where none were evaluated.
        empties: counts of empty masks.
        dice: single Dice values of each row of ``scores``, for the plot.
        probed: whether ``probes.csv`` was there.
        others: probes with the prompt of another structure.
        absents: probes with the prompt of something that is not there.
        existence: what the scores of existence are worth.
        calibration: error and bins; None without ``calibration.json``.
        present: ``scores`` without the masks that are empty in truth; only where there are some.
        selective: what an order by uncertainty is worth; empty where no mask has one.
        cases: images to show.
    """

    name: str
    images: int
    masks: int
    patients: int
    facts: Mapping[str, str]
    scores: Mapping[str, list[ScoreRow]]
    prompts: Mapping[str, list[PromptRow]]
    volumes: Mapping[str, list[VolumeRow]]
    empties: Mapping[str, list[EmptyRow]]
    dice: Mapping[str, list[np.ndarray]]
    probed: bool
    others: Mapping[str, list[OtherRow]]
    absents: Mapping[str, list[AbsentRow]]
    existence: Mapping[str, Existence]
    calibration: Mapping[str, Any] | None
    cases: Mapping[str, Cases]
    present: Mapping[str, list[ScoreRow]]
    selective: Mapping[str, list[SelectiveRow]]


@dataclass(frozen=True)
class Results:
    """All runs, and each beside the first."""

    runs: Sequence[RunResults]
    comparisons: Sequence[Comparison]


def measure(runs: Sequence[Run]) -> Results:
    """Compute everything; the same for the same files."""
    return Results([_measure(run) for run in runs], [compare(runs[0], run) for run in runs[1:]])


def _measure(run: Run) -> RunResults:
    return RunResults(
        name=run.name,
        images=_distinct(run, "dataset", "image_id"),
        masks=_distinct(run, "dataset", "name", "structure"),
        patients=len({unit for unit in run.scores["unit"] if unit.startswith("patient ")}),
        facts=_flat(run.facts),
        scores=by_tag(run.scores, score_rows),
        prompts=by_tag(run.scores, prompt_rows),
        volumes=by_tag(run.volumes, volume_rows) if run.volumes is not None else {},
        empties=by_tag(run.scores, empty_rows),
        dice=by_tag(run.scores, lambda found: [found["val_dice"][group.rows] for group in groups(found)]),
        probed=run.probes is not None,
        others=other_rows(run),
        absents=absent_rows(run),
        existence=existence_by_tag(run),
        calibration=run.calibration,
        cases=cases_by_tag(run),
        present=by_tag(run.scores, present_rows),
        selective=selective_by_tag(run.scores),
    )


def _distinct(run: Run, *names: str) -> int:
    return len(set(zip(*(run.scores[name] for name in names), strict=True)))


def _flat(facts: Mapping[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in facts.items():
        path = f"{above}{clean(name)}"
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{path}.")
        else:
            flat[path] = (
                ", ".join(map(clean, value)) if isinstance(value, list) else "" if value is None else clean(value)
            )
    return flat


def plain(results: Results, title: str, version: str) -> dict[str, Any]:
    """Everything but the images, for ``json.dumps``; numbers with six digits, None for what is not defined."""
    runs = [{name: value for name, value in asdict(run).items() if name != "dice"} for run in results.runs]
    content = {
        "title": title,
        "monai_vlsm": version,
        "tags": list(TAGS),
        "intervals": {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, "method": "percentile bootstrap"},
        "runs": runs,
        "comparisons": [asdict(comparison) for comparison in results.comparisons],
    }
    rounded: dict[str, Any] = _rounded(content)
    return rounded


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_rounded(inner) for inner in value]
    if isinstance(value, float):
        return round(value, 6) + 0.0 if np.isfinite(value) else None
    return value.name if isinstance(value, Path) else value
