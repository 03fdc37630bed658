# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A small study with bundles and datasets that are made up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from monai_vlsm.studies import Study, StudyFolder, read_study, steps
from tests.studies import fake_bundle

CONFIG = {
    "epochs": 200,
    "learning_rate": 0.001,
    "encoders": "vl",
    "trainable": "decoder",
    "network_def": {},
    "val_split": "val",
}
BUNDLES = ("good", "better", "slow", "blind", "nan", *fake_bundle.FAILURES)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with ``bundles`` and ``data``."""
    for name in BUNDLES:
        config = tmp_path / "bundles" / name / "configs" / "train.json"
        config.parent.mkdir(parents=True)
        config.write_text(json.dumps(CONFIG))
    for name in ("polyps", "moles"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for split in ("train", "val", "test"):
            (tmp_path / "data" / name / f"{split}.json").write_text(f'["{name} {split}", "p4"]')
    return tmp_path


@pytest.fixture
def study(place: Path) -> Callable[..., Study]:
    """Makes a study of the bundles ``good`` and ``better`` with two seeds; what is given stands in its file instead."""

    def make(**given: Any) -> Study:
        content = {"name": "s", "systems": ["good", "better"], "datasets": ["polyps"], "seeds": [41, 42]}
        content |= {"settings": {"epochs": 2}, "lease": 1.0}
        content |= {"data": str(place / "data"), "bundles": str(place / "bundles"), **given}
        (place / "study.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return read_study(place / "study.yaml")

    return make


@pytest.fixture
def folder(place: Path, study: Callable[..., Study]) -> Callable[..., StudyFolder]:
    """A planned study, see `study`."""

    def make(**given: Any) -> StudyFolder:
        found = StudyFolder.of(study(**given), place / "out")
        found.plan()
        return found

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers run the fake bundle within this process."""

    def run(words: Sequence[str], environment: Any, log: Path, *_: Any) -> float:
        try:
            fake_bundle.main(list(words)[list(words).index("run") :])
        except SystemExit as error:
            log.write_text(f"{error}\n")
            raise subprocess.CalledProcessError(1, list(words)) from error
        return 0.1

    monkeypatch.setattr(steps, "run_logged", run)
