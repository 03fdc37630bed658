# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What an evaluation says about some adapters, for their card; nothing that names a file, a folder or a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from monai_vlsm.adapters import tensors_digest
from monai_vlsm.checkpoints import PRECISION, SETTINGS_KEY, ModelMismatchError, tensors_of
from monai_vlsm.prompts import CLASS, TAGS
from monai_vlsm.statistics import words
from monai_vlsm.statistics.bootstrap import Estimate
from monai_vlsm.statistics.cases import Case
from monai_vlsm.statistics.columns import natural
from monai_vlsm.statistics.reading import EVALUATE, Run, read_run
from monai_vlsm.statistics.results import RunResults, measure
from monai_vlsm.statistics.scores import ScoreRow, plain_rows
from monai_vlsm.statistics.tables import prompt_table, score_table, volume_table
from monai_vlsm.tables import escaped

__all__ = ["Evaluation", "ScoreSection", "model_index", "read_evaluation"]

# no score of a mask hangs on the temperature, and the same model may be evaluated in another precision, as on a CPU
_FREE = {"format", "backbone", "default_prompt", "temperature", *PRECISION}
_METRICS = {"dice": "Dice", "mean_iou": "IoU"}


@dataclass(frozen=True)
class ScoreSection:
    """Scores with prompts of one tag; all texts are Markdown.

    Args:
        title: what prompts they are.
        meaning: what such prompts give away.
        table: means with intervals.
        by_prompt: the same for each prompt, where there are few different ones; else empty.
        volumes: the same of whole volumes by structure, where some were evaluated; else empty.
        few: whether there are too few images for good intervals.
    """

    title: str
    meaning: str
    table: str
    by_prompt: str
    volumes: str
    few: bool


@dataclass(frozen=True)
class Evaluation:
    """What a folder that an evaluation wrote says.

    Args:
        datasets: names of what it was evaluated on.
        split: name of the list, empty if not known.
        date: when, empty if not known.
        threshold: existence threshold that the scores were computed with; None if not known.
        prompts: tag to the different prompts.
        scores: by tag, one section each.
        plain: the rows that may be quoted: class prompts, plainest style, one for each dataset.
        tolerances: of the surface Dice of whole volumes, in mm; none where there are no volumes.
        remarks: sentences on what wrong and absent prompts did.
        case: the mask that the image shows; None without images.
    """

    datasets: Sequence[str]
    split: str
    date: str
    threshold: float | None
    prompts: Mapping[str, Sequence[str]]
    scores: Sequence[ScoreSection]
    plain: Sequence[ScoreRow]
    tolerances: Sequence[float]
    remarks: Sequence[str]
    case: Case | None


def read_evaluation(folder: Path, adapters: Mapping[str, Any]) -> Evaluation:
    """Read the folder of an evaluation, and check that it is one of these adapters.

    Args:
        folder: with ``metrics.csv``, ``run.json`` and, as far as there, ``probes.csv`` and ``overlays``.
        adapters: what the file holds, as `monai_vlsm.checkpoints.read` gives it.

    Raises:
        MixedFilesError: when the folder holds files of several evaluations, or files that were changed since.
        ReportError: when no evaluation wrote the folder.
        ModelMismatchError: when it is the evaluation of another model, of one without anything trained, or does not say
            of which.
    """
    run = read_run(folder)
    _check_model(folder, run.facts, adapters)
    results = measure([run]).runs[0]
    threshold = run.facts.get("existence_threshold")
    return Evaluation(
        datasets=sorted(set(run.scores["dataset"]), key=natural),
        split=str(run.facts.get("split") or ""),
        date=words.date(str(run.facts.get("created") or "")),
        threshold=float(threshold) if isinstance(threshold, int | float) else None,
        prompts=_prompts(run),
        scores=[_section(tag, results) for tag in results.scores],
        plain=plain_rows(results.scores),
        tolerances=sorted({row.tolerance for rows in results.volumes.values() for row in rows}),
        remarks=list(_remarks(results)),
        case=_typical(results),
    )


def _check_model(folder: Path, facts: Mapping[str, Any], adapters: Mapping[str, Any]) -> None:
    if facts.get("zero_shot"):
        raise ModelMismatchError(
            f"{folder} is an evaluation without adapters (zero-shot); give the one of this file, or none"
        )
    evaluated = facts.get("settings")
    if not isinstance(evaluated, dict):
        raise ModelMismatchError(
            f"{folder} does not record which model its scores belong to: run.json or its settings are missing, as "
            f"after a training. Evaluate this file: {EVALUATE} --model_file FILE --output_dir FOLDER"
        )
    settings = adapters[SETTINGS_KEY]
    for name in sorted((set(settings) | set(evaluated)) - _FREE):
        theirs, ours = ({"existence_threshold": 0.0, **found}.get(name) for found in (evaluated, settings))
        if theirs != ours:
            raise ModelMismatchError(
                f"{folder} is the evaluation of another model: its {name} is {theirs}, that of the file {ours}. "
                "Give the evaluation of this file, or none"
            )
    if facts.get("model") != tensors_digest(tensors_of(adapters)):
        raise ModelMismatchError(
            f"{folder} is the evaluation of another model: what was trained is not what the file holds, as after "
            f"another training. Evaluate this file: {EVALUATE} --model_file FILE --output_dir FOLDER"
        )


def _prompts(run: Run) -> dict[str, list[str]]:
    tags, prompts = run.scores["tag"], run.scores["prompt"]
    return {tag: sorted(set(prompts[tags == tag]), key=natural) for tag in TAGS if (tags == tag).any()}


def _section(tag: str, results: RunResults) -> ScoreSection:
    rows, prompts, volumes = results.scores[tag], results.prompts[tag], results.volumes.get(tag, [])
    meaning = words.TAG_MEANING[tag].replace("nothing else on this page", "no other scores")
    few = any(units < words.FEW for units in [*(row.units for row in rows), *(row.units for row in volumes)])
    by_prompt = prompt_table(prompts).markdown if prompts else ""
    whole = volume_table(volumes).markdown if volumes else ""
    return ScoreSection(words.TAG_TITLE[tag], meaning, score_table(rows).markdown, by_prompt, whole, few)


def _remarks(results: RunResults) -> Iterator[str]:
    for other in plain_rows(results.others):
        own, wrong = words.decimals(other.own.mean), words.decimals(other.other.mean)
        yield (
            f"Asked for another structure of the same image ({words.plural(other.probes, 'probe')} on "
            f"{escaped(words.dataset_name(other.dataset))}), the Dice of the own mask goes from {own} to {wrong}. "
            f"Reading: {other.verdict}."
        )
    for absent in plain_rows(results.absents):
        yield (
            f"Asked for something that is not in the image ({words.plural(absent.probes, 'probe')} on "
            f"{escaped(words.dataset_name(absent.dataset))}), something is segmented in "
            f"{words.percent(absent.answered.mean)} of the images. Reading: {absent.verdict}."
        )


def _typical(results: RunResults) -> Case | None:
    """A mask with an image whose Dice lies in the middle; with class prompts, if there are such images."""
    for tag in (CLASS, *TAGS):
        chosen = results.cases[tag].cases if tag in results.cases else []
        imaged = [case for case in chosen if case.image is not None and case.kind != "invented"]
        middle = [case for case in imaged if case.kind == "median"] or imaged
        if middle:
            return middle[len(middle) // 2]
    return None


def model_index(evaluation: Evaluation) -> list[EvalResult]:
    """Scores of class prompts for the head of a card, where the Hub reads them; others stay in the text."""
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type=row.dataset or "unknown",
            dataset_name=words.dataset_name(row.dataset),
            dataset_split=evaluation.split or None,
            metric_type=kind,
            metric_value=round(score.mean, 4),
            metric_name=f"{title}, class prompts{_interval(score)}",
        )
        for row in evaluation.plain
        for (kind, title), score in zip(_METRICS.items(), (row.dice, row.iou), strict=True)
        if score.mean is not None
    ]


def _interval(score: Estimate) -> str:
    if score.low is None or score.high is None:
        return ""
    return f", 95 % interval {words.decimals(score.low)} to {words.decimals(score.high)}"
