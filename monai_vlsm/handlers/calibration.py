# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Is a probability of 0.8 right in eight pixels of ten?"""

from __future__ import annotations

import os
from typing import Any

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


class CalibrationWriter:
    """Writes ``calibration.json``: for each tag, how probabilities and truth agree over all pixels of all images.

    ``{"by_tag": {tag: ...}}`` with what :func:`calibration_bins` returns. Counted at the size of the network, on
    ``logits`` and ``logits_target`` of the engine's output, so neither threshold changes it. Of the best epoch, as
    `ScoreWriter`.

    Attach to the *evaluator*, with decollation, on all processes.

    Args:
        output_dir: folder of the file, or the files of an evaluation.
    """

    def __init__(self, output_dir: str | os.PathLike[str] | EvaluationFiles) -> None:
        self.files = EvaluationFiles.of(output_dir)
        self._counts: dict[str, Tensor] = {}

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``."""
        self.files.require_free("calibration.json")
        engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def _clear(self, engine: Workflow) -> None:
        self._counts = {}

    def _collect(self, engine: Workflow) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            logits, target = (torch.as_tensor(output[key]) for key in ("logits", "logits_target"))
            tags = texts_of(item, "prompt_tag", CLASS, len(logits))
            for tag, scores, truth in zip(tags, logits.float().sigmoid(), target, strict=True):
                self._counts[tag] = self._counts.get(tag, 0) + count_bins(scores, truth)

    def _write(self, engine: Workflow) -> None:
        parts = gather_rows([(tag, counts) for tag, counts in self._counts.items()], engine)
        if not is_best_epoch(engine) or idist.get_rank() != 0:
            return
        totals: dict[str, Tensor] = {}
        for tag, counts in parts:
            totals[tag] = totals.get(tag, 0) + counts
        by_tag = {tag: calibration_bins(totals[tag]) for tag in TAGS if tag in totals}
        self.files.write("calibration.json", json_text({"by_tag": by_tag}))
