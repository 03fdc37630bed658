# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands of the bundle that a run consists of."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.names import file_stem, user_path
from monai_vlsm.studies.plan import Run, dataset_folder
from monai_vlsm.studies.study import Study

__all__ = ["PROGRAM", "RESUME", "TRAINING", "evaluate_words", "evaluation_folder", "train_words"]

PROGRAM = (sys.executable, "-m", "monai.bundle")
RESUME = "--resume=True"
TRAINING, EVALUATIONS = "training", "evaluations"
"""Folders in that of a run; a training writes its model into its own."""


def train_words(study: Study, run: Run, folder: Path) -> list[str]:
    """Train, or go on where a training was stopped, as words behind `PROGRAM`."""
    training = folder / TRAINING
    given: dict[str, Any] = {"seed": run.seed, "ckpt_dir": training, "output_dir": training}
    given |= {"fraction": run.fraction} if run.fraction < 1 else {}
    words = _words(study, run, run.dataset, ["train.json"], run.settings, given)
    return [*words, RESUME] if (training / "last.pt").is_file() else words


def evaluate_words(study: Study, run: Run, folder: Path, dataset: str) -> list[str]:
    """Evaluate the trained model on the test images of a dataset."""
    target = study.datasets[dataset]
    settings = {"probes": False, **study.settings, **target.settings, **study.systems[run.system].settings}
    settings.pop("adaptation", None)  # the model file has it, with the slices that attend to one another
    given = {
        "seed": run.seed,
        "model_file": folder / TRAINING / "model.pt",
        "output_dir": evaluation_folder(folder, dataset),
        "val_split": target.test_split,
        "styles": list(study.styles),
    }
    return _words(study, run, dataset, ["train.json", "evaluate.json"], settings, given)


def evaluation_folder(folder: Path, dataset: str) -> Path:
    """Where the evaluation of a run on a dataset is."""
    return folder / EVALUATIONS / file_stem(dataset)


def _words(
    study: Study, run: Run, dataset: str, configs: list[str], settings: Mapping[str, Any], given: Mapping[str, Any]
) -> list[str]:
    root = user_path(study.bundles).absolute() / run.bundle
    files = [str(root / "configs" / name) for name in configs]
    place = {"dataset_dir": dataset_folder(study, study.datasets[dataset]).absolute()}
    values = {**settings, **place, **given}
    return ["run", f"--config_file={files}", *(f"--{name}={value}" for name, value in values.items())]
