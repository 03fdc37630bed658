# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``--tracking mlflow`` with each bundle."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from monai.bundle import create_workflow

from monai_vlsm.handlers import own_loss

BUNDLES = Path(__file__).parents[2] / "bundles"
NAMES = sorted(path.parents[1].name for path in BUNDLES.glob("*/configs/train.json"))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_found(name: str, tmp_path: Path) -> None:
    config = BUNDLES / name / "configs" / "train.json"
    given = {
        "bundle_root": str(tmp_path),
        "output_dir": str(tmp_path / "eval"),
        "experiment_name": "e",
        "run_name": "r",
    }
    workflow = create_workflow(config_file=[str(config)], tracking="mlflow", **given)
    handlers = {one: workflow.parser[f"{one}::handlers"][0] for one in ("train", "validate")}  # type: ignore[union-attr]
    assert {one["_target_"].rpartition(".")[-1] for one in handlers.values()} == {"TrackedRun"}
    assert handlers["train"]["output_transform"] == "$monai_vlsm.handlers.own_loss"


@pytest.mark.parametrize("output", [{"loss": torch.tensor(0.5)}, [{"loss": 0.5}, {"loss": 0.5}]])
def test_the_loss_of_an_iteration(output: object) -> None:
    assert float(own_loss(output)) == 0.5


@pytest.mark.slow
def test_a_training_and_its_evaluation(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'monai_vlsm[track]'")
    configs = BUNDLES / "unet" / "configs"
    uri = f"sqlite:///{tmp_path / 'all.db'}"
    words = [sys.executable, "-m", "monai.bundle", "run", "--tracking=mlflow", f"--tracking_uri={uri}"]
    words += ["--experiment_name=both", f"--ckpt_dir={tmp_path / 'models'}", "--epochs=1", "--fraction=0.25"]
    for files, run in ((["train.json"], "training"), (["train.json", "evaluate.json"], "test")):
        config = [str(configs / file) for file in files]
        given = [f"--config_file={config}", f"--run_name={run}", f"--output_dir={tmp_path / run}"]
        subprocess.run([*words, *given], check=True, cwd=BUNDLES.parent)
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.search_runs(client.get_experiment_by_name("both").experiment_id)
    metrics = {run.info.run_name: run.data.metrics for run in found}
    assert [run.info.status for run in found] == ["FINISHED", "FINISHED"]
    assert metrics["training"]["train_loss"] > 0 and 0 <= metrics["training"]["val_dice"] <= 1
    assert 0 <= metrics["test"]["val_dice"] <= 1
