# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``run.json``: what an evaluation was."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import monai
import pytest
import torch
from monai.data import MetaTensor

from monai_vlsm.evaluations import EvaluationFiles
from monai_vlsm.handlers import RunInfoWriter, ScoreWriter
from monai_vlsm.handlers.run_facts import records_digest
from monai_vlsm.handlers.run_info import package_versions
from monai_vlsm.outputs import file_digest
from tests.handlers import toy


class _State:
    def settings(self) -> dict[str, Any]:
        return {"network": "CLIPSegNet", "existence_threshold": 0.25}

    def digest(self) -> str:
        return "ab12"


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "monai.bundle", "run", "--styles", "['p1','p2']"])
    facts = {"bundle": "vlsm_dense", "dataset_dir": Path("/data/grün"), "styles": ["p1"], "dataset": None, "seed": 41}
    records, files = toy.records(1), EvaluationFiles(tmp_path / "out")
    writer = RunInfoWriter(files, _State(), facts, records)
    toy.evaluator(torch.nn.Conv2d(3, 1, 1), records, [writer, ScoreWriter(files, ["val_dice"])]).run()
    text = (tmp_path / "out" / "run.json").read_text(encoding="utf-8")
    content = json.loads(text)
    created = datetime.fromisoformat(content.pop("created"))
    assert abs((datetime.now(created.tzinfo) - created).total_seconds()) < 600
    written = ("metrics.csv", "metrics.json")
    assert content.pop("files") == {name: file_digest(tmp_path / "out" / name) for name in written}
    assert content == {
        "model": "ab12",
        "data": records_digest(records),
        "bundle": "vlsm_dense",
        "dataset_dir": "/data/grün",
        "styles": ["p1"],
        "dataset": None,
        "seed": 41,
        "settings": {"network": "CLIPSegNet", "existence_threshold": 0.25},
        "versions": package_versions(),
        "shown_by": {},
        "command": """python -m monai.bundle run --styles '['"'"'p1'"'"','"'"'p2'"'"']'""",
    }
    assert "grün" in text


def test_says_what_chose_black_and_white(tmp_path: Path) -> None:
    records = toy.records(3)
    for record, shown_by in zip(records, ["8 bits", "window of the file", "8 bits"], strict=True):
        record["image"] = MetaTensor(record["image"], meta={"shown_by": shown_by})
    files = EvaluationFiles(tmp_path)
    handlers = [RunInfoWriter(files, _State(), {}), ScoreWriter(files, ["val_dice"])]
    evaluator = toy.evaluator(torch.nn.Conv2d(3, 1, 1), records, handlers)
    for _ in range(2):  # of the last run, not of both
        evaluator.run()
    content = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert content["shown_by"] == {"8 bits": 2, "window of the file": 1}


def test_versions() -> None:
    versions = package_versions()
    assert list(versions) == ["monai_vlsm", "monai", "torch"]
    assert versions["monai"] == monai.__version__
