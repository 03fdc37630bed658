# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A folder of volumes through the bundle."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_vlsm.checkpoints import read_settings
from monai_vlsm.metrics import volume_scores
from monai_vlsm.statistics import read_run
from monai_vlsm.statistics.reading import VOLUME_METRICS
from tests.bundles.test_vlsm_dense import EVALUATE, TRAIN, run
from tests.data.lists.folders import decathlon

pytestmark = pytest.mark.slow  # whole trainings


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
        found = run(
            [TRAIN, EVALUATE], tmp_path / str(seed), **settings, **model, seed=seed, planes="sagittal", save_cases=True
        )
        assert cases(found) == set(split["val"])
    check_whole_volumes(found, Path(settings["dataset_dir"]))


def test_an_evaluation_says_whose_cases_it_took(settings: dict[str, Any], tmp_path: Path) -> None:
    """This list has no labelled test cases; a U-Net has a channel for each class, in use too."""
    unet = [config.parents[2] / "unet" / "configs" / config.name for config in (TRAIN, EVALUATE)]
    own = {name: value for name, value in settings.items() if name not in ("backbone", "adapter_width")}
    own |= {"backbone": "unet-mini", "ckpt_dir": str(tmp_path)}
    run(unet[:1], tmp_path / "trained", **own)
    assert read_settings(tmp_path / "model.pt")["targets"] == ["liver", "left kidney"]
    found = run(unet, tmp_path / "found", **own, val_split="test", probes=True)
    assert json.loads((found / "run.json").read_text())["split"] == "val"


def check_whole_volumes(found: Path, data: Path) -> None:
    """The scores of volumes are those of the label maps that were written, on the grid of the data."""
    with (found / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for row in rows:
        pred, truth = (nib.load(path / f"{row['case']}.nii.gz") for path in (found / "cases", data / "labelsTr"))
        masks = [np.asarray(image.dataobj) == int(row["labels"]) for image in (pred, truth)]
        scores = volume_scores(masks[0], masks[1], truth.header.get_zooms())
        assert [float(row[name]) for name in VOLUME_METRICS] == pytest.approx(list(scores), abs=2e-6)
        assert int(row["pred_voxels"]) == masks[0].sum()
    means = json.loads((found / "metrics.json").read_text())["cases"]["by_tag"]["class"]["mean"]
    assert means["dice"] == pytest.approx(np.mean([float(row["dice"]) for row in rows]))
    assert "cases.csv" in json.loads((found / "run.json").read_text())["files"]
    assert read_run(found).volumes is not None
