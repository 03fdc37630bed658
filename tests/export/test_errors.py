# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What cannot be exported is refused in words; what was written is never removed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.export import ExportError, check, export_network, files, text_tensors
from monai_vlsm.export.check import check_file
from monai_vlsm.io import WriteError
from monai_vlsm.networks import UnknownTargetError
from tests.export.conftest import Build

BAD = [
    ("unet", {"form": "tokens"}, "a U-Net knows its targets only"),
    ("dense", {"prompts": ["a", "b"], "names": ["a"]}, "1 name for 2 prompts"),
    ("dense", {"prompts": ["a", "b", "a"]}, "twice came: 'a'"),
    ("dense", {"prompts": [""]}, "a prompt or a name is empty"),
    ("dense", {"prompts": ["a", " \t"], "form": "tokens"}, "a prompt or a name is empty"),
    ("dense", {"prompts": ["a"], "names": [""]}, "a prompt or a name is empty"),
    ("dense", {"opset": 17}, "from 18 to 20, got 17"),
]


@pytest.mark.parametrize(("kind", "arguments", "message"), BAD)
def test_refused(build: Build, tmp_path: Path, kind: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export_network(build(kind), tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_no_prompt(build: Build, tmp_path: Path) -> None:
    network = build("dense")
    network.default_prompt = ""
    with pytest.raises(ExportError, match="no default prompt: name them"):
        export_network(network, tmp_path)


def test_prompt_that_names_no_target(build: Build, tmp_path: Path) -> None:
    with pytest.raises(UnknownTargetError, match="names none of them"):
        export_network(build("unet"), tmp_path, prompts=["polyp"])


def test_unknown_words(build: Build, tmp_path: Path) -> None:
    for arguments in ({"format": "tensorrt"}, {"form": "words"}):
        with pytest.raises(ValueError, match=r"format .* onnx, torchscript and form of embedding, tokens"):
            export_network(build("unet"), tmp_path, **arguments)


@pytest.mark.parametrize("name", ["model.onnx", "prompts.npz", "model.json"])
def test_nothing_is_overwritten(build: Build, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(ExportError, match=rf"{name} is there already; give another --output"):
        export_network(build("unet"), tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_missing_packages(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        files, "find_spec", lambda name: None if name.startswith("onnx") else importlib.util.find_spec(name)
    )
    with pytest.raises(ExportError, match=r"pip install 'monai_vlsm\[export\]'"):
        export_network(build("unet"), tmp_path)
    assert export_network(build("unet"), tmp_path, "torchscript").model.is_file()


def test_a_file_that_differs_is_kept_and_refused(build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "LIMIT", -1.0)
    with pytest.raises(ExportError, match=r"left as it is"):
        export_network(build("unet"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_the_check_sees_other_weights(build: Build, tmp_path: Path, format: str) -> None:
    network = build("unet_one")
    model = export_network(network, tmp_path, format).model
    with torch.no_grad():
        next(network.unet.parameters()).add_(0.1)  # type: ignore[operator, union-attr]
    ids = torch.tensor([[1275, 1276]])
    with pytest.raises(ExportError, match=r"differs from the network in PyTorch by \d"):
        check_file(model, network, ids, {"embedding": torch.zeros(1, dtype=torch.int64)})


@pytest.mark.parametrize("name", ["model.onnx", "model.ts"])
def test_a_file_that_does_not_run(build: Build, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no model")
    with pytest.raises(ExportError, match=rf"{name} does not run: "):
        check_file(tmp_path / name, build("unet_one"), torch.tensor([[1, 2]]), {"embedding": torch.tensor([0])})


def test_what_torch_cannot_translate(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.special.zeta(image, image)

    with pytest.raises(ExportError, match=r"opset 18.*--format torchscript"):
        files.write_onnx(Odd(), [torch.ones(1, 3, 4, 4)], ["image"], tmp_path / "x.onnx", {}, 18)


@pytest.mark.parametrize("features", [[torch.ones(1)], {"a": torch.ones(1)}, None])
def test_features_that_no_form_holds(features: Any) -> None:
    with pytest.raises(ExportError, match="returns a tensor or a named tuple of tensors, got"):
        text_tensors(features)


def test_a_folder_that_cannot_be_written(build: Build, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"cannot write to the folder .*file"):
        export_network(build("unet"), tmp_path / "file")
