# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.commands import main
from monai_vlsm.networks import CLIPSegNet
from tests import tiny
from tests.serving.models import save


@pytest.fixture(scope="module")
def file(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = CLIPSegNet(backbone, adaptation=DenseAdaptation("v", width=4), default_prompt="one\nred " + "polyp " * 9)
    return save(network, tmp_path_factory.mktemp("run") / "models" / "model.pt")


def test_list(file: Path, backbone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"epoch": 3}, file.with_name("last.pt"))
    assert main(["adapters", "list", str(file.parents[1])]) == 0
    head, row, _, rest = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["name", "network"]
    assert row.startswith("models/model.pt  CLIPSegNet")
    for cell in (str(backbone), "DenseAdaptation(encoders='v', width=4)", r"'one\nred polyp", "..."):
        assert cell in row
    assert rest.endswith(str(file.with_name("last.pt")))
    assert main(["adapters", "list", str(file)]) == 0
    assert str(file) in capsys.readouterr().out


def test_list_of_an_empty_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapters", "list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no model files in {tmp_path}\n"
    assert main(["adapters", "list", str(tmp_path / "absent")]) == 1


def test_info(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapters", "info", str(file)]) == 0
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["image size"].strip() == f"{tiny.SIZE} px"
    assert main(["adapters", "info", str(file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["base"] == lines["base"].strip()
    assert facts["adaptation"] == {"type": "DenseAdaptation", "encoders": "v", "width": 4, "condition_width": None}
    assert facts["default_prompt"].startswith("one\nred")


def test_check(file: Path, backbone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapters", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file} fits {backbone}\n"


def test_check_on_another_base(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tiny.write_backbone(tmp_path / "other", seed=5)
    assert main(["adapters", "check", str(file), "--backbone", str(other)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert f"error: {file} is a model of another base" in printed.err


@pytest.mark.parametrize("command", ["info", "check"])
def test_no_model_file(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adapters", command, str(tmp_path / "model.pt")]) == 1
    assert "error: no model file at" in capsys.readouterr().err
