# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.commands import main
from monai_vlsm.networks import CLIPSegNet


@pytest.fixture
def model(backbone: Path, tmp_path: Path) -> Path:
    network = CLIPSegNet(backbone, DenseAdaptation("v", width=4), default_prompt="one polyp")
    torch.save(TrainedState(network).state_dict(), tmp_path / "model.pt")
    return tmp_path / "model.pt"


@pytest.mark.parametrize(
    ("format", "suffix", "form"), [("onnx", ".onnx", "embedding"), ("torchscript", ".ts", "tokens")]
)
def test_prints_files_and_difference(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], format: str, suffix: str, form: str
) -> None:
    output = tmp_path / "out"
    words = ["export", str(model), "--output", str(output), "--format", format, "--form", form]
    assert main([*words, "--prompts", "polyp", "left brain", "--names", "a", "b"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"compared .*, 1 and 3 at a time: logits differ by at most \S+ \(allowed: 1e-03\)", lines[0])
    files = [re.escape(str(output / name)) for name in (f"model{suffix}", "prompts.npz", "model.json")]
    assert re.fullmatch(f"done: {', '.join(rf'{file} .[0-9.]+ MB.' for file in files)}", lines[1])
    info = json.loads((output / "model.json").read_text())
    assert (info["form"], info["names"], info["network"]) == (form, ["a", "b"], "CLIPSegNet")


def test_errors_are_plain(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path / "none.pt"), "--output", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("error: no model file at ")
    assert main(["export", str(model), "--output", str(tmp_path / "out"), "--opset", "3"]) == 1
    assert capsys.readouterr().err.endswith("error: --opset must be from 18 to 20, got 3\n")


def test_base_of_another_place(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["export", str(model), "--output", str(tmp_path / "out"), "--backbone", "clipseg-mini"]
    assert main(words) == 1
    assert "a model of another" in capsys.readouterr().err
