# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of ``probes.csv``: which mask is compared with which."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from monai.transforms import Activationsd, AsDiscreted, Compose, SelectItemsd

from monai_vlsm.data import Probe
from monai_vlsm.handlers import ProbeWriter
from monai_vlsm.handlers.probes import PROBE_COLUMNS, probe_rows
from monai_vlsm.transforms import ExistenceScored


def probe(kind: str, prompt: str, own: int, asked: tuple[int, ...], record: str = "a_x") -> Probe:
    return Probe(kind, record, prompt, "p1", "class", "x", own, asked)


def boxes(*spans: tuple[int, int]) -> torch.Tensor:
    """Masks of 10 x 20 with full columns from, to."""
    masks = torch.zeros(len(spans), 10, 20)
    for mask, (start, stop) in zip(masks, spans, strict=True):
        mask[:, start:stop] = 1
    return masks


RECORD = {"name": "a.png", "dataset": "mine", "prompt": ["y", "spleen", "x"]}
LABEL, PRED = boxes((0, 4), (6, 10), (10, 12)), boxes((4, 8), (0, 0), (0, 5))
EXISTENCE = [0.9, 0.2, 0.7]
CASES = [  # probe; prediction, own and asked pixels, Dice with own, Dice with asked, existence
    (probe("other", "y", 0, (1,)), 40, 40, 40, 0.0, 0.5, 0.9),
    (probe("other", "y", 0, (1, 2)), 40, 40, 60, 0.0, 0.4, 0.9),
    (probe("absent", "spleen", 0, ()), 0, 40, 0, 0.0, 1.0, 0.2),
    (probe("absent", "x", 0, ()), 50, 40, 0, 80 / 90, 0.0, 0.7),
    (probe("own", "x", 0, (0,)), 50, 40, 40, 80 / 90, 80 / 90, 0.7),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{case[0].kind} {case[0].prompt}" for case in CASES])
def test_row(case: Any) -> None:
    asked, pred, own, wanted, dice_own, dice_asked, existence = case
    (row,) = probe_rows({**RECORD, "probes": (asked,)}, {"label": LABEL, "pred": PRED, "existence": EXISTENCE})
    assert row == {
        "name": "a_x",
        "dataset": "mine",
        "probe": asked.kind,
        "style": "p1",
        "tag": "class",
        "prompt": asked.prompt,
        "own_prompt": "x",
        "own_pixels": own,
        "asked_pixels": wanted,
        "pred_pixels": pred,
        "image_pixels": 200,
        "dice_own": pytest.approx(dice_own, abs=1e-6),
        "dice_asked": pytest.approx(dice_asked, abs=1e-6),
        "existence": existence,
    }
    assert tuple(row) == PROBE_COLUMNS


class _Prompted(torch.nn.Module):
    """Two masks for each image: where it is bright, and nothing."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        bright = (image[:, :1] > 0.5).float() * 20 - 10
        return torch.cat([bright, torch.full_like(bright, -10)], dim=1)


def run(folder: Path, data: list[dict[str, Any]]) -> list[dict[str, str]]:
    keys = ["image", "label", "prompt", "dataset", "name"]
    SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(data, SelectItemsd(keys)), batch_size=1),
        network=_Prompted(),
        postprocessing=Compose(
            [Activationsd("pred", sigmoid=True), ExistenceScored(), AsDiscreted("pred", threshold=0.5)]
        ),
        val_handlers=[ProbeWriter(folder, data)],
    ).run()
    with (folder / "probes.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def items(count: int) -> list[dict[str, Any]]:
    data = []
    for index in range(count):
        label = boxes((0, 4), (index, index + 4))
        asked = (probe("other", "y", 0, (1,), f"{index}_x"), probe("absent", "spleen", 1, (), f"{index}_y"))
        more = {"prompt": ["y", "spleen"], "dataset": "mine", "probes": asked}
        data.append({"image": label[1:].repeat(3, 1, 1), "label": label, "name": f"{index}.png", **more})
    return data


def test_file_of_an_evaluation(tmp_path: Path) -> None:
    rows = run(tmp_path / "out", items(3))
    assert list(rows[0]) == list(PROBE_COLUMNS)
    assert [(row["name"], row["probe"], row["dice_asked"]) for row in rows] == [
        (f"{index}_{name}", kind, "1.0") for index in range(3) for name, kind in (("x", "other"), ("y", "absent"))
    ]
    assert [float(row["dice_own"]) for row in rows] == [1.0, 0.0, 0.75, 0.0, 0.5, 0.0]
    assert [float(row["existence"]) > 0.5 for row in rows] == [True, False] * 3
    assert len(run(tmp_path / "out", items(1))) == 2
