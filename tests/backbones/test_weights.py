# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Weight files in the layouts that are about, each written here."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from monai_vlsm.backbones import BackboneNotFoundError
from monai_vlsm.backbones.weights import WeightsFileError, check_weights, looks_like, read_weights
from tests.networks.tiny_cris import save_archive

STATE = {
    "visual.conv1.weight": torch.arange(6.0).view(1, 3, 2, 1),
    "visual.bn1.num_batches_tracked": torch.tensor(7),
    "logit_scale": torch.tensor(4.5),
}


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def save(content: Any, path: Path, **arguments: Any) -> Path:
    torch.save(content, path, **arguments)
    return path


def safetensors(state: dict[str, Tensor], path: Path) -> Path:
    save_file(state, path)
    return path


def traced(folder: Path) -> Path:
    """An archive as `torch.jit.trace` writes it."""

    class Visual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(3, 1, (2, 1), bias=False)
            self.conv1.weight.data = STATE["visual.conv1.weight"]
            self.bn1 = nn.Module()
            self.bn1.register_buffer("num_batches_tracked", torch.tensor(7))

        def forward(self, image: Tensor) -> Tensor:
            return self.conv1(image) + 0 * self.bn1.num_batches_tracked

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.visual, self.logit_scale = Visual(), nn.Parameter(torch.tensor(4.5))

        def forward(self, image: Tensor) -> Tensor:
            return self.logit_scale * self.visual(image)

    torch.jit.save(torch.jit.trace(Model().half(), torch.zeros(1, 3, 2, 1).half()), folder / "model.pt")
    return folder / "model.pt"


SCORES = {"best_iou": np.float64(0.5), "prec": {"Pr@50": np.float32(0.25)}, "count": np.int64(3)}
LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "OpenAI's archive": lambda folder: save_archive(STATE, folder / "RN50.pt"),
    "traced archive": traced,
    "safetensors": lambda folder: safetensors(STATE, folder / "open_clip_model.safetensors"),
    "safetensors in half precision": lambda folder: safetensors(half(STATE), folder / "model.safetensors"),
    "torch.save": lambda folder: save(STATE, folder / "model.pt"),
    "torch.save in half precision": lambda folder: save(half(STATE), folder / "model.pt"),
    "torch.save of old": lambda folder: save(STATE, folder / "model.pth", _use_new_zipfile_serialization=False),
    "checkpoint": lambda folder: save({"epoch": 50, "state_dict": STATE, "optimizer": {}}, folder / "model.pth"),
    "checkpoint with scores": lambda folder: save({"state_dict": STATE, **SCORES}, folder / "model.pth"),
    "distributed": lambda folder: save(
        {"state_dict": {f"module.{name}": value for name, value in STATE.items()}}, folder / "model.pth"
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, tmp_path: Path) -> None:
    found = read_weights(LAYOUTS[layout](tmp_path))
    assert set(found) == set(STATE)
    for name, value in STATE.items():
        assert found[name].dtype == (torch.float32 if value.is_floating_point() else torch.int64)
        assert torch.equal(found[name], value)


def test_a_path_as_text(tmp_path: Path) -> None:
    assert set(read_weights(str(save(STATE, tmp_path / "model.pt")))) == set(STATE)


def test_module_in_some_names_is_kept(tmp_path: Path) -> None:
    state = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert set(read_weights(save(state, tmp_path / "model.pt"))) == {"module.a", "b"}


class Evil:
    """A pickle that makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def cut(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def write(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


BAD_FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "pickle": (lambda f: write(pickle.dumps(Evil(f / "made")), f / "RN50.pt"), "cannot be read as weights"),
    "pickle in torch.save": (
        lambda f: save({"a": Evil(f / "made")}, f / "RN50.pt"),
        r"asks for posix\.mkdir, .* not run",
    ),
    "pickle named safetensors": (
        lambda f: write(pickle.dumps(Evil(f / "made")), f / "model.safetensors"),
        "cannot be read as weights: SafetensorError",
    ),
    "module": (lambda f: save(nn.Linear(2, 2), f / "model.pt"), r"asks for torch\.nn\.modules\.linear\.Linear"),
    "cut archive": (lambda f: cut(save_archive(STATE, f / "RN50.pt")), "cannot be read .* damaged"),
    "cut safetensors": (lambda f: cut(LAYOUTS["safetensors"](f)), "cannot be read .* damaged"),
    "cut torch.save": (lambda f: cut(save(STATE, f / "model.pt")), "cannot be read .* damaged"),
    "empty": (lambda f: write(b"", f / "model.pt"), "cannot be read .* damaged"),
    "text": (lambda f: write(b"<html>404</html>", f / "model.pt"), "cannot be read .* damaged"),
    "one tensor": (lambda f: save(torch.zeros(2), f / "model.pt"), "holds no state dict: .* got Tensor"),
    "no tensors": (lambda f: save({"epoch": 3, "lr": 0.1}, f / "model.pt"), "holds no state dict: .* got dict"),
    "model of ours": (
        lambda f: save({"monai_vlsm": {"format": 1}, "a": torch.zeros(1)}, f / "model.pt"),
        "looks like a model file of monai_vlsm: .* Expected the weights of a pretrained model",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(case: str, tmp_path: Path) -> None:
    make, message = BAD_FILES[case]
    path = make(tmp_path)
    with pytest.raises(WeightsFileError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["no.pt", "."])
def test_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(BackboneNotFoundError, match=f"no weight file at {tmp_path}"):
        read_weights(tmp_path / name)


MODELS = [
    (["monai_vlsm", "visual.conv1.weight"], "a model file of monai_vlsm"),
    (["backbone.visual.attnpool.c_proj.bias", "neck.f1_v_proj.0.weight", "proj.txt.bias"], "CRIS"),
    (["decoder.film_mul.weight", "clip.text_model.final_layer_norm.bias"], "CLIPSeg in Hugging Face layout"),
    (["clip.vision_model.post_layernorm.weight"], "CLIPSeg in Hugging Face layout"),
    (["logit_scale", "text_model.final_layer_norm.bias", "vision_model.x"], "a CLIP ViT in Hugging Face layout"),
    (["visual.layer1.0.conv1.weight", "transformer.resblocks.0.ln_1.bias"], "a CLIP ResNet in the layout of OpenAI"),
    (["visual.transformer.resblocks.0.ln_1.bias", "ln_final.bias"], "a CLIP ViT in the layout of OpenAI"),
    (["c.weight", "b.weight", "a.weight", "d.weight"], r"unknown, first keys ['a.weight', 'b.weight', 'c.weight']"),
    (["backbone.conv1.weight", "projection.weight"], "unknown"),
    ([], "unknown, first keys []"),
]


@pytest.mark.parametrize(("keys", "model"), MODELS)
def test_looks_like(keys: list[str], model: str) -> None:
    assert looks_like(keys).startswith(model)


def test_weights_that_fit() -> None:
    check_weights(STATE, {name: value for name, value in STATE.items() if "num_batches" not in name}, "a.pt")


MISFITS = [
    ({"logit_scale": None}, r"1 missing \['logit_scale'\], 0 unexpected"),
    ({"more": torch.zeros(1)}, r"0 missing \[\], 1 unexpected \['more'\]"),
    ({"logit_scale": torch.zeros(2)}, r"1 of another shape \['logit_scale must be \(\), is \(2,\)'\]"),
    ({"logit_scale": torch.tensor(torch.nan)}, r"NaN or infinite values in 1 of \d+ weights \['logit_scale'\]"),
    ({"logit_scale": torch.tensor(torch.inf).half()}, r"NaN or infinite values .*get it again"),
]


@pytest.mark.parametrize(("change", "message"), MISFITS)
def test_weights_that_do_not_fit(change: dict[str, Tensor | None], message: str) -> None:
    given = {name: value for name, value in {**STATE, **change}.items() if value is not None}
    with pytest.raises(WeightsFileError, match=rf"a\.pt: .*{message}"):
        check_weights(STATE, given, "a.pt")
