# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The least existence score of a mask: set on the validation set, kept in ``model.pt``; and scores as CSV."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from monai.engines import Workflow

from monai_vlsm.handlers.engine_state import batch_names
from monai_vlsm.handlers.nan_guard import require_answer
from monai_vlsm.handlers.rows import RowWriter, gather_rows
from monai_vlsm.handlers.scores import prompts_of
from monai_vlsm.io import save_atomically
from monai_vlsm.outputs import PREDICTIONS, GrowingTable, Outputs

__all__ = ["ExistenceWriter", "ThresholdSetter", "best_threshold"]

logger = logging.getLogger(__name__)

LEAST_KEPT = 0.95
LEAST_ABSENT = 10


def best_threshold(present: Sequence[float], absent: Sequence[float], least_kept: float = LEAST_KEPT) -> float:
    """The threshold with the best balanced accuracy among those that keep nearly all structures that are there.

    Balanced accuracy alone is no good rule for scores that tell little: on the embedded sample, trained without absent
    prompts, it would empty every third mask that is right (docs/absent.md).

    Args:
        present: scores of prompts whose structure is in the image.
        absent: scores of prompts whose structure is not.
        least_kept: share of ``present`` that must reach the threshold.

    Returns:
        A number from 0 to 1, in the middle between two scores; of equally good ones the lowest. 0, which empties
        nothing, where none is better, nothing is present, or fewer than ten scores are of absent things: on the
        sample, four of them would trade three masks that are right for one that is wrong.
    """
    if not len(present) or len(absent) < LEAST_ABSENT:
        return 0.0
    there, gone = np.asarray(present, dtype=float), np.asarray(absent, dtype=float)
    scores = np.unique(np.concatenate([there, gone]))
    candidates = np.concatenate([[0.0], (scores[1:] + scores[:-1]) / 2])
    kept = (there[None] >= candidates[:, None]).mean(axis=1)
    rejected = (gone[None] < candidates[:, None]).mean(axis=1)
    accuracy = np.where(kept >= least_kept, (kept + rejected) / 2, 0)
    return float(candidates[accuracy.argmax()])


class ThresholdSetter:
    """Sets the existence threshold of the trained model and writes it into its ``model.pt``.

    Loads ``path``, collects ``existence`` of the engine's output for prompts of what is there and of what is not, and
    saves the state anew with :func:`best_threshold` of them. Without a file it does nothing.

    Attach to an *evaluator* of its own, whose batch and output are lists of one entry for each record, on all
    processes: each loads the file, what they find is put together, and process 0 writes.

    Args:
        state: has ``state_dict``, ``load_state_dict`` and an attribute ``existence_threshold``
            (``monai_vlsm.checkpoints.TrainedState``).
        path: the ``model.pt``.
        records: those that the evaluator is given: :func:`monai_vlsm.data.probe_records` with own and absent prompts.
    """

    def __init__(self, state: Any, path: str | os.PathLike[str], records: Sequence[Mapping[str, Any]]) -> None:
        self.state = state
        self.path = Path(path)
        self.records = {record["name"]: record for record in records}
        self._scores: dict[str, list[float]] = {}

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``."""
        engine.add_event_handler(Events.STARTED, self._load)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
        engine.add_event_handler(Events.COMPLETED, self._save)

    def _load(self, engine: Workflow) -> None:
        self._scores = {"own": [], "absent": []}
        idist.barrier()  # process 0 may be writing it
        if self.path.is_file():
            self.state.load_state_dict(torch.load(self.path, map_location="cpu", weights_only=True))

    def _collect(self, engine: Workflow) -> None:
        for item, output in zip(engine.state.batch, engine.state.output, strict=True):
            record = self.records[item["name"]]
            for probe in record["probes"]:
                self._scores[probe.kind].append(output["existence"][record["prompt"].index(probe.prompt)])

    def _save(self, engine: Workflow) -> None:
        present, absent = (gather_rows(self._scores[kind], engine) for kind in ("own", "absent"))
        if idist.get_rank() != 0 or not self.path.is_file():
            return
        threshold = best_threshold(present, absent)
        self.state.existence_threshold = threshold
        save_atomically(self.state.state_dict(), self.path)
        logger.info(
            "existence threshold %.3g: keeps %d of %d masks that are there, empties %d of %d that are not",
            threshold,
            sum(score >= threshold for score in present),
            len(present),
            sum(score < threshold for score in absent),
            len(absent),
        )


class ExistenceWriter(RowWriter):
    """Writes ``existence.csv`` of an inference: name, prompt, existence (0 to 1) and pixels of the mask.

    One row for each image and prompt; a prompt whose existence is below the threshold of the model has 0 pixels. Rows
    are on the disk as soon as the image is done, so that they stay whatever happens then (in a run of several
    processes those of process 0; the others follow at the end). What an earlier inference left in the folder, masks
    too, is removed before the first image is done.

    Attach to the *evaluator*, after the postprocessing that makes the mask, with decollation, on all processes.

    Args:
        output_dir: folder of the file.
    """

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.outputs = Outputs(Path(output_dir), PREDICTIONS)
        self._table = GrowingTable(self.outputs, "existence.csv", ("name", "prompt", "existence", "pixels"))

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator``."""
        super().attach(engine)
        if idist.get_rank() == 0:
            engine.add_event_handler(Events.ITERATION_STARTED(once=1), self._remove_old)

    def rows_of(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[dict[str, Any]]:
        """One row for each prompt of the image; of a volume that comes slice by slice with its last slice.

        Raises:
            NonFiniteError: the model computes no numbers.
        """
        if "volume" in output and output["volume"] is None:
            return []
        scores, masks = output["existence"], torch.as_tensor(output["pred"]).flatten(1)
        pixels = [int(count) for count in (masks > 0.5).sum(dim=1)]
        if "volume" in output:
            scores, pixels = output["volume"]["existence"], output["volume"]["pixels"]
        require_answer(torch.tensor(scores))
        name = next(iter(batch_names(item)), "")
        return [
            {"name": name, "prompt": prompt, "existence": round(score, 6), "pixels": count}
            for prompt, score, count in zip(prompts_of(item, len(pixels)), scores, pixels, strict=True)
        ]

    def _remove_old(self, engine: Workflow) -> None:
        for path in self.outputs.clear():
            logger.warning("%s was changed since it was written: it stays", path)

    def _collect(self, engine: Workflow) -> None:
        before = len(self._rows)
        super()._collect(engine)
        if idist.get_rank() == 0:
            self._table.add(self._rows[before:])

    def _write(self, engine: Workflow) -> None:
        own, rows = len(self._rows), gather_rows(self._rows, engine)
        if idist.get_rank() == 0:
            self._table.add(rows[own:])
            self._table.close()
