# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder of volumes through the bundle."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bundles.test_vlsm_dense import EVALUATE, TRAIN, run
from tests.data.lists.folders import decathlon


@pytest.fixture(scope="module")
def settings(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = decathlon(tmp_path_factory.mktemp("data") / "Task03", "abc")
    own = {"dataset_dir": str(folder), "backbone": str(backbone), "cache_dir": str(folder / "cache")}
    small = {"adapter_width": 4, "epochs": 1, "batch_size": 8, "num_workers": 0, "amp": False, "overlays": "none"}
    return {**own, **small, "device": torch.device("cpu")}


def cases(folder: Path) -> set[str]:
    with (folder / "metrics.csv").open() as file:
        return {row["patient"] for row in csv.DictReader(file)}


def test_train_and_evaluate(settings: dict[str, Any], tmp_path: Path) -> None:
    """Absent classes are asked for too; an evaluation with another seed has the cases that the training left out."""
    trained = run([TRAIN], tmp_path / "trained", **settings, negatives=0.3, multi_prompt=True)
    split = json.loads((trained / "models/split.json").read_text())
    assert cases(trained) == set(split["val"]) and len(split["train"]) == 2
    model = {"model_file": str(trained / "models/model.pt"), "probes": False}
    for seed in (0, 2):
        found = run([TRAIN, EVALUATE], tmp_path / str(seed), **settings, **model, seed=seed, planes="sagittal")
        assert cases(found) == set(split["val"])
