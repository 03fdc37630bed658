# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of each image and structure as CSV, their means as JSON."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from monai.engines import Workflow

from monai_vlsm.counts import counted
from monai_vlsm.evaluations import EvaluationFiles
from monai_vlsm.handlers.case_scores import CaseScoreWriter
from monai_vlsm.handlers.engine_state import batch_names, is_best_epoch, scalar_metrics
from monai_vlsm.handlers.rows import RowWriter, gather_rows
from monai_vlsm.io import json_text, table_text
from monai_vlsm.prompts import CLASS, TAGS, worst_tag

__all__ = ["ScoreWriter", "image_rows", "prompts_of", "score_summary", "texts_of"]

Row = dict[str, Any]
GROUPS = ("dataset", "style", "prompt", "structure")
METRICS = ("val_dice", "val_iou", "val_hd95")


def prompts_of(item: Mapping[str, Any], count: int) -> list[str]:
    """The ``count`` prompts of a decollated item: its ``prompt`` is one text or a list; empty texts without one."""
    return texts_of(item, "prompt", "", count)


def texts_of(item: Mapping[str, Any], key: str, default: str, count: int) -> list[str]:
    """``count`` texts at a key of a decollated item, which holds one for all, one for each, or nothing.

    Raises:
        ValueError: another number of texts.
    """
    found = item.get(key, default)
    texts = [found] * count if isinstance(found, str) else [str(text) for text in found]
    if len(texts) != count:
        raise ValueError(f"{batch_names(item)} has {counted(count, 'mask')} but {len(texts)} {key}s: {texts}")
    return texts


def image_rows(item: Mapping[str, Any], output: Mapping[str, Any]) -> list[Row]:
    """One row for each structure of an image, without its scores.

    Args:
        item: decollated batch entry with ``name``, ``dataset``, ``image``, ``patient``, ``prompt``, ``prompt_style``
            and ``prompt_tag`` (all optional; a prompt without a tag is of the class alone).
        output: the entry of the engine's output with ``label`` and ``pred``, binary (K, H, W), and, if the
            postprocessing computes it, ``existence``, K numbers; likewise ``uncertainty``.

    Raises:
        ValueError: prompts, styles or tags that do not number K, or an unknown tag.
    """
    truth, pred = (torch.as_tensor(output[key]).flatten(1).sum(dim=1).long().tolist() for key in ("label", "pred"))
    name = next(iter(batch_names(item)), "")
    rows = []
    styles, tags = texts_of(item, "prompt_style", "", len(truth)), texts_of(item, "prompt_tag", CLASS, len(truth))
    for index, prompt in enumerate(prompts_of(item, len(truth))):
        row = {"name": name, "dataset": item.get("dataset", ""), "image_id": item.get("image_id", name)}
        row |= {"patient": item.get("patient", ""), "structure": index}
        row |= {"style": styles[index], "tag": worst_tag([tags[index]]), "prompt": prompt}
        pixels = {"truth_pixels": truth[index], "pred_pixels": pred[index]}
        empty = {"truth_empty": int(truth[index] == 0), "pred_empty": int(pred[index] == 0)}
        known = [name for name in ("existence", "uncertainty") if name in output]
        measured = {name: round(float(output[name][index]), 6) for name in known}
        rows.append(row | pixels | empty | measured)
    return rows


def score_summary(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, Any]:
    """Counts and means for each tag; with one tag only, also at the top, where nothing can be mixed."""
    tags = sorted({row["tag"] for row in rows}, key=TAGS.index)
    by_tag = {tag: _tag_summary([row for row in rows if row["tag"] == tag], metrics) for tag in tags}
    if len(tags) != 1:
        return {"tags": tags, **_counts(rows), "by_tag": by_tag}
    groups = {key: value for key, value in by_tag[tags[0]].items() if key != "mean"}
    return {"tags": tags, **groups, "by_tag": by_tag}


def _tag_summary(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, Any]:
    """Counts, the mean of each metric, and its mean for each data set, style, prompt and structure index."""
    means = {name: _mean([row[name] for row in rows]) for name in metrics}
    return {**_counts(rows), "mean": means, **{f"by_{group}": _group_means(rows, metrics, group) for group in GROUPS}}


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {
        "images": len({(row["dataset"], row["image_id"]) for row in rows}),
        "masks": len(rows),
        "empty_truths": sum(row["truth_empty"] for row in rows),
        "empty_predictions": sum(row["pred_empty"] for row in rows),
    }


def _group_means(rows: Sequence[Row], metrics: Sequence[str], group: str) -> dict[str, dict[str, float | None]]:
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(str(row[group]), []).append(row)
    return {
        key: {"masks": len(found), **{name: _mean([row[name] for row in found]) for name in metrics}}
        for key, found in sorted(members.items())
    }


def _mean(values: Sequence[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else None


class ScoreWriter(RowWriter):
    """Writes ``metrics.csv`` and ``metrics.json`` of the best epoch, the one whose model is kept.

    ``metrics.csv`` has a row for each image and structure: name, dataset, image (one for all records of one image),
    patient (where known), structure (index), style, tag, prompt, truth_pixels, pred_pixels, truth_empty, pred_empty,
    existence and uncertainty (if they are computed) and one column per metric. The tag says what the prompt gives away
    (:mod:`monai_vlsm.prompts.tags`).

    ``metrics.json`` has the epoch, the tags, counts (images, masks, empty truths, empty predictions) and, ``by_tag``,
    the counts, the mean of each metric and its means by dataset, style, prompt and structure. Prompts of different
    tags never share a mean. If all have one tag, as with one style for all, the same means stand at the top as well,
    and ``mean`` there has all metrics of the engine; with several tags, ``mean`` is null.

    Scores of whole volumes, where there are some, stand there as ``cases``
    (:func:`monai_vlsm.handlers.case_scores.case_summary`).

    Both files are replaced when the key metric improves, so a lone evaluation always writes. Masks are counted as the
    metrics saw them, at original resolution when the postprocessing inverts the resize.

    Attach to the *evaluator*, on all processes. Its metrics must keep details (``IgniteMetricHandler`` does).

    Args:
        output_dir: folder of the two files, or the files of an evaluation.
        metrics: names of per-mask metrics of the evaluator.
        cases: the handler of the same evaluator that scores whole volumes.

    Raises:
        KeyError: when the evaluator has no details for one of ``metrics``.
        NotOursError: when it is attached: one of the files is somebody else's.
        ValueError: when the details of a metric do not number one per mask.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] | EvaluationFiles,
        metrics: Sequence[str] = METRICS,
        cases: CaseScoreWriter | None = None,
    ) -> None:
        self.files = EvaluationFiles.of(output_dir)
        self.metrics = list(metrics)
        self.cases = cases

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator``."""
        self.files.require_free("metrics.csv", "metrics.json")
        super().attach(engine)

    def rows_of(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[Row]:
        """One row for each structure of the image, see `image_rows`."""
        return image_rows(item, output)

    def _write(self, engine: Workflow) -> None:
        rows = gather_rows(self._rows, engine)
        cases = self.cases.summary(engine) if self.cases else None
        if not is_best_epoch(engine) or idist.get_rank() != 0:
            return
        for name in self.metrics:
            for row, score in zip(rows, _details(engine, name, len(rows)), strict=True):
                row[name] = score
        summary = {"epoch": engine.state.epoch, "mean": None, **score_summary(rows, self.metrics)}
        if len(summary["tags"]) == 1:
            means = scalar_metrics(engine).items()
            summary["mean"] = {name: value if math.isfinite(value) else None for name, value in means}
        summary |= {"cases": cases} if cases else {}
        self.files.write("metrics.csv", table_text(list(rows[0]), rows))
        self.files.write("metrics.json", json_text(summary))


def _details(engine: Workflow, name: str, count: int) -> list[float]:
    details = engine.state.metric_details
    if name not in details:
        raise KeyError(f"the evaluator keeps no details of {name!r}, only of {sorted(details)}")
    scores = [round(score, 6) for score in details[name].flatten().tolist()]
    if len(scores) != count:
        raise ValueError(
            f"metric {name!r} has {counted(len(scores), 'score')} for {counted(count, 'mask')}; it must score each mask"
        )
    return scores
