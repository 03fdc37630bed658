# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What an image answers when it is asked for another structure, or for something that is not there."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
import torch
from monai.engines import Workflow
from torch import Tensor

from monai_vlsm.evaluations import EvaluationFiles
from monai_vlsm.handlers.rows import RowWriter, gather_rows
from monai_vlsm.io import table_text

__all__ = ["PROBE_COLUMNS", "ProbeWriter", "probe_rows"]

PROBE_COLUMNS = (
    "name",
    "dataset",
    "probe",
    "style",
    "tag",
    "prompt",
    "own_prompt",
    "own_pixels",
    "asked_pixels",
    "pred_pixels",
    "image_pixels",
    "dice_own",
    "dice_asked",
    "existence",
)
Row = dict[str, Any]


def probe_rows(record: Mapping[str, Any], output: Mapping[str, Any]) -> list[Row]:
    """One row for each question to an image.

    Args:
        record: from :func:`monai_vlsm.data.probe_records`, with P prompts and ``"probes"``.
        output: the entry of the engine's output with ``label`` binary (K, H, W), ``pred`` binary (P, H, W), and
            ``existence``, P numbers.
    """
    label, pred = (torch.as_tensor(output[key]).detach().cpu() > 0.5 for key in ("label", "pred"))
    rows = []
    for probe in record["probes"]:
        index = record["prompt"].index(probe.prompt)
        own, found = label[probe.own], pred[index]
        asked = label[list(probe.asked)].any(dim=0) if probe.asked else torch.zeros_like(own)
        pixels = {"own_pixels": own, "asked_pixels": asked, "pred_pixels": found, "image_pixels": torch.ones_like(own)}
        rows.append(
            {
                "name": probe.record,
                "dataset": record["dataset"],
                "probe": probe.kind,
                "style": probe.style,
                "tag": probe.tag,
                "prompt": probe.prompt,
                "own_prompt": probe.own_prompt,
                **{name: int(mask.sum()) for name, mask in pixels.items()},
                "dice_own": round(_dice(found, own), 6),
                "dice_asked": round(_dice(found, asked), 6),
                "existence": round(float(output["existence"][index]), 6),
            }
        )
    return rows


def _dice(first: Tensor, second: Tensor) -> float:
    """Dice of two bool masks; 1 if both are empty."""
    total = int(first.sum() + second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0


class ProbeWriter(RowWriter):
    """Writes ``probes.csv``: a row for each question, see :data:`PROBE_COLUMNS`.

    ``own_pixels`` and ``dice_own`` are about the mask of the record itself, ``asked_pixels`` and ``dice_asked`` about
    the mask of what was asked for, which is empty if it is not in the image (both empty: Dice 1). Masks have the size
    of the original.

    Attach to an *evaluator* whose batch and output are lists of one entry for each record, on all processes.

    Args:
        output_dir: folder of the file, or the files of the evaluation that was before.
        records: those that the evaluator is given, from :func:`monai_vlsm.data.probe_records`.
    """

    def __init__(
        self, output_dir: str | os.PathLike[str] | EvaluationFiles, records: Sequence[Mapping[str, Any]]
    ) -> None:
        self.files = EvaluationFiles.of(output_dir)
        self.records = {record["name"]: record for record in records}

    def attach(self, engine: Workflow) -> None:
        """Follow ``engine``, a ``SupervisedEvaluator``."""
        self.files.require_free("probes.csv")
        super().attach(engine)

    def rows_of(self, item: Mapping[str, Any], output: Mapping[str, Any]) -> list[Row]:
        """One row for each question to the image."""
        return probe_rows(self.records[item["name"]], output)

    def _write(self, engine: Workflow) -> None:
        rows = gather_rows(self._rows, engine)
        if idist.get_rank() == 0:
            self.files.write("probes.csv", table_text(PROBE_COLUMNS, rows))
