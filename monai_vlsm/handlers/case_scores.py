# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores of whole volumes, put together from the slices that an evaluation sees."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Events
from monai.engines import Workflow

from monai_vlsm.data.volumes.cases import CasePlan, MissingSlicesError, Place, plan_cases
from monai_vlsm.evaluations import EvaluationFiles
from monai_vlsm.handlers.case_masks import CASE_COLUMNS, CaseMasks
from monai_vlsm.handlers.engine_state import is_best_epoch
from monai_vlsm.handlers.rows import gather_rows
from monai_vlsm.io import table_text
from monai_vlsm.metrics import TOLERANCE
from monai_vlsm.names import distinct, file_stem
from monai_vlsm.prompts import TAGS

__all__ = ["CaseScoreWriter", "case_summary"]

Row = dict[str, Any]
MEANS = ("dice", "iou", "hd95_mm", "surface_dice")
GROUPS = ("structure", "style", "plane")
FOLDER = "cases"  # of the label maps


class CaseScoreWriter:
    """Writes ``cases.csv``: a row for each volume and structure, scored as a whole and in millimetres.

    Slices are put together volume by volume, so that only the volume at hand is in memory, if the records of a volume
    follow one another. Of the classes of one label map the most probable one has a voxel, if it is probable enough; a
    region that is made of other classes, such as the whole tumour with its core, and masks in files of their own are
    scored each by itself (`monai_vlsm.data.volumes.cases.exclusive_groups`). Prompts of different tags, styles and
    planes never compete. Masks that are empty count as
    `monai_vlsm.metrics.volume_scores` says.

    Attach to the *evaluator*, with decollation, on all processes; each volume must be on one of them
    (`monai_vlsm.data.ScoringShare`). Does nothing where no record is a slice of a volume.

    Args:
        output_dir: folder of the file, or the files of an evaluation.
        records: those that the evaluator is given, with chosen prompts.
        enabled: False does nothing.
        threshold: lowest probability of a voxel of a mask.
        tolerance: within which surfaces agree, in mm.
        save: write what was found too, as NIfTI on the grid of the label map, to the folder ``cases``.
        key: of the probabilities in the engine's output, ``(K, rows, columns)``, at the size of the slice.

    Raises:
        MissingSlicesError: not all slices of a volume are there for each of its structures.
        NotOursError: when it is attached: one of the files is somebody else's.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str] | EvaluationFiles,
        records: Sequence[Mapping[str, Any]],
        enabled: bool = True,
        threshold: float = 0.5,
        tolerance: float = TOLERANCE,
        save: bool = False,
        key: str = "probabilities",
    ) -> None:
        self.files = EvaluationFiles.of(output_dir)
        self.threshold, self.tolerance, self.save, self.key = threshold, tolerance, save, key
        self.plans, self._places = plan_cases(records) if enabled else ([], {})
        self._masks_of = Counter(place.plan for places in self._places.values() for place in places)
        self._names = _names(self.plans)
        self._clear()

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator``."""
        if self.plans:
            there = sorted((self.files.folder / FOLDER).glob("*.nii.gz")) if self.save else []
            self.files.require_free("cases.csv", *(f"{FOLDER}/{path.name}" for path in there))
            engine.add_event_handler(Events.EPOCH_STARTED, self._clear)
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._collect)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._write)

    def summary(self, engine: Workflow) -> dict[str, Any] | None:
        """What `case_summary` makes of the rows of all processes, all of which must ask; None without any."""
        rows = self._gathered(engine) if self.plans else []
        return case_summary(rows, self.tolerance) if rows else None

    def _clear(self, engine: Workflow | None = None) -> None:
        self._open: dict[int, CaseMasks] = {}
        self._left = Counter(self._masks_of)
        self._rows: list[tuple[int, Row]] = []
        self._files: list[tuple[str, bytes]] = []  # of the processes that do not write
        self._taken: list[str] = []

    def _collect(self, engine: Workflow) -> None:
        state: Any = engine.state
        for item, output in zip(state.batch, state.output, strict=True):
            places = self._places_of(item)  # fewer than masks where a batch is padded
            found = torch.as_tensor(output[self.key])[: len(places)].detach().cpu().numpy()
            for plan in dict.fromkeys(place.plan for place in places):
                own = [number for number, place in enumerate(places) if place.plan == plan]
                self._add([places[number] for number in own], found[own])

    def _places_of(self, item: Mapping[str, Any]) -> Sequence[Place]:
        style = item.get("prompt_style", "")
        first = style if isinstance(style, str) else style[0]
        return self._places.get((str(item.get("dataset", "")), str(item.get("name", "")), first), ())

    def _add(self, places: Sequence[Place], probabilities: np.ndarray) -> None:
        """Put in masks of one slice of one volume."""
        plan = places[0].plan
        if plan not in self._open:
            self._open[plan] = CaseMasks(self.plans[plan], self.threshold)
        self._open[plan].add([place.number for place in places], places[0].index, probabilities)
        self._left[plan] -= len(places)
        if not self._left[plan]:
            self._finish(plan, self._open.pop(plan))

    def _finish(self, plan: int, masks: CaseMasks) -> None:
        self._rows += [(plan, row) for row in masks.rows(self.tolerance)]
        if self.save:
            self._files += [(f"{self._names[plan]}{suffix}", content) for suffix, content in masks.files()]
        if idist.get_rank() == 0:
            self._save(self._files)
            self._files = []

    def _save(self, files: Sequence[tuple[str, bytes]]) -> None:
        for stem, content in files:
            self.files.open()
            self._taken.append(stem)
            with self.files.tables.writing(f"{FOLDER}/{distinct(self._taken)[-1]}.nii.gz") as path:
                path.write_bytes(content)

    def _write(self, engine: Workflow) -> None:
        missing = [f"{self.plans[at].case} ({masks.missing()})" for at, masks in self._open.items()]
        unfinished = gather_rows(missing, engine)
        if unfinished:
            raise MissingSlicesError(
                f"slices were not evaluated: {', '.join(unfinished)}. Each volume must be evaluated as a whole by one "
                "process; --case_scores False leaves its scores out"
            )
        rows, files = self._gathered(engine), gather_rows(self._files, engine)
        if is_best_epoch(engine) and idist.get_rank() == 0:
            self._save(files)
            self.files.write("cases.csv", table_text(CASE_COLUMNS, rows))

    def _gathered(self, engine: Any) -> list[Row]:
        return [row for _, row in sorted(gather_rows(self._rows, engine), key=lambda pair: pair[0])]


def _names(plans: Sequence[CasePlan]) -> list[str]:
    """Of the files of each plan: the case, and what else tells it from others."""
    parts = [(plan.case, plan.plane, plan.style, plan.tag) for plan in plans]
    several = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    stems = [
        "_".join(file_stem(text, "case") for text, told in zip(one, [True, *several[1:]], strict=True) if told)
        for one in parts
    ]
    return distinct(stems)


def case_summary(rows: Sequence[Row], tolerance: float) -> dict[str, Any]:
    """Counts and means for each tag, which never share one.

    Args:
        rows: with `monai_vlsm.handlers.case_masks.CASE_COLUMNS`.
        tolerance: of the surface Dice, in mm.
    """
    by_tag = {tag: _tag_summary([row for row in rows if row["tag"] == tag]) for tag in TAGS}
    return {"tolerance_mm": tolerance, "by_tag": {tag: found for tag, found in by_tag.items() if found}}


def _tag_summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Means over cases for each structure, style and plane; ``mean`` is the one over structures of theirs."""
    if not rows:
        return {}
    groups = {f"by_{group}": _group_means(rows, group) for group in GROUPS}
    structures = groups["by_structure"].values()
    return {
        "cases": len({(row["dataset"], row["case"]) for row in rows}),
        "masks": len(rows),
        "empty_truths": sum(row["truth_voxels"] == 0 for row in rows),
        "empty_predictions": sum(row["pred_voxels"] == 0 for row in rows),
        "mean": {name: _mean(one[name] for one in structures) for name in MEANS},
        **groups,
    }


def _group_means(rows: Sequence[Row], group: str) -> dict[str, dict[str, float]]:
    members: dict[str, list[Row]] = {}
    for row in rows:
        members.setdefault(str(row[group] or row["prompt"]) if group == "structure" else str(row[group]), []).append(
            row
        )
    return {
        key: {"masks": len(found), **{name: _mean(row[name] for row in found) for name in MEANS}}
        for key, found in sorted(members.items())
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found)
