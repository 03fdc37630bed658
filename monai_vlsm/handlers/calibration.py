# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a probability of 0.8 right in eight pixels of ten?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import ignite.distributed as idist
import torch
from ignite.engine import Events
from monai.engines import Workflow
from torch import Tensor

from monai_vlsm.evaluations import EvaluationFiles
from monai_vlsm.handlers.engine_state import is_best_epoch
from monai_vlsm.handlers.rows import gather_rows
from monai_vlsm.handlers.scores import texts_of
from monai_vlsm.io import json_text
from monai_vlsm.prompts import CLASS, TAGS

__all__ = ["CalibrationWriter", "calibration_bins", "count_bins"]

BINS = 10


def count_bins(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Count the pixels of a mask by their probability, in ten bins of equal width.

    Args:
        probabilities: from 0 to 1, any shape; 1 belongs to the last bin.
        truth: of the same shape, 0 and 1.

    Returns:
        ``(3, 10)`` float64: pixels, sum of their probabilities, number of true pixels.
    """
    flat, true = (part.detach().flatten().cpu().double() for part in (probabilities, truth))
    index = (flat * BINS).long().clamp(0, BINS - 1)
    return torch.stack([torch.bincount(index, weights, BINS) for weights in (torch.ones_like(flat), flat, true)])


def calibration_bins(counts: Tensor) -> dict[str, Any]:
    """The bins and the expected calibration error.

    The error is the difference between mean probability and share of foreground of each bin, weighted by its pixels
    (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3).

    Args:
        counts: sum over all masks of what :func:`count_bins` returns.

    Returns:
        ``{"bins": [{"low", "high", "pixels", "confidence", "frequency"}], "ece"}``; the last two of a bin are None if
        it has no pixels.
    """
    bins = []
    for index, (pixels, confidence, frequency) in enumerate(counts.T.tolist()):
        means = {"confidence": confidence / pixels, "frequency": frequency / pixels} if pixels else {}
        edges = {"low": index / BINS, "high": (index + 1) / BINS, "pixels": int(pixels)}
        bins.append({**edges, "confidence": None, "frequency": None, **means})
    error = (counts[1] - counts[2]).abs().sum() / counts[0].sum()
    return {"bins": bins, "ece": float(error)}


class _Total(NamedTuple):
    """Sums over masks: counts of their pixels, their own errors, and how many they are."""

    counts: Tensor
    errors: float
    masks: int

    def plus(self, more: _Total) -> _Total:
        return _Total(self.counts + more.counts, self.errors + more.errors, self.masks + more.masks)

    def summary(self) -> dict[str, Any]:
        return {**calibration_bins(self.counts), "ece_masks": self.errors / self.masks}


_Key = tuple[str, float]  # tag and temperature


class CalibrationWriter:
    """Writes ``calibration.json``: for each tag, how probabilities and truth agree over all pixels of all images.

    ``{"by_tag": {tag: ...}}`` with what :func:`calibration_bins` returns, and ``ece_masks``, the mean of the errors of
    single masks. For a model with a temperature the same stands once more as ``scaled``, with ``temperature``. Counted
    at the size of the network, on ``logits`` and ``logits_target`` of the engine's output, so neither threshold changes
    it. Of the best epoch, as `ScoreWriter`.

    Attach to the *evaluator*, with decollation, on all processes.

    Args:
        output_dir: folder of the file, or the files of an evaluation.
        temperature: of the model.
    """

    def __init__(self, output_dir: str | os.PathLike[str] | EvaluationFiles, temperature: float = 1.0) -> None:
        self.files = EvaluationFiles.of(output_dir)
        self.temperatures = sorted({1.0, float(temperature)}, key=lambda one: one != 1)
        self._totals: dict[_Key, _Total] = {}

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``."""
        self.files.require_free("calibration.json")
        engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _clear(self, engine: Workflow) -> None:
        self._totals = {}

    def _collect(self, engine: Workflow) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            logits, target = (torch.as_tensor(output[key]) for key in ("logits", "logits_target"))
            tags = texts_of(item, "prompt_tag", CLASS, len(logits))
            for temperature in self.temperatures:
                for tag, scores, truth in zip(tags, (logits.float() / temperature).sigmoid(), target, strict=True):
                    counts = count_bins(scores, truth)
                    _add(self._totals, (tag, temperature), _Total(counts, calibration_bins(counts)["ece"], 1))

    def _write(self, engine: Workflow) -> None:
        parts = gather_rows(list(self._totals.items()), engine)
        if not is_best_epoch(engine) or idist.get_rank() != 0:
            return
        totals: dict[_Key, _Total] = {}
        for key, total in parts:
            _add(totals, key, total)
        by_tag = {tag: self._of_tag(tag, totals) for tag in TAGS if (tag, 1.0) in totals}
        self.files.write("calibration.json", json_text({"by_tag": by_tag}))

    def _of_tag(self, tag: str, totals: Mapping[_Key, _Total]) -> dict[str, Any]:
        plain, *scaled = (totals[tag, temperature].summary() for temperature in self.temperatures)
        return plain | ({"scaled": {"temperature": self.temperatures[1], **scaled[0]}} if scaled else {})


def _add(totals: dict[_Key, _Total], key: _Key, more: _Total) -> None:
    totals[key] = totals[key].plus(more) if key in totals else more
