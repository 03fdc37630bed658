# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Weight files that CRISNet takes, and those that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from monai_vlsm.backbones import BackboneNotFoundError
from monai_vlsm.backbones.weights import WeightsFileError
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import CRISNet
from tests.networks import tiny_cris
from tests.networks.tiny_cris import clip_state, official_state, save_archive

Build = Callable[..., CRISNet]


@pytest.fixture
def build(monkeypatch: pytest.MonkeyPatch) -> Build:
    return lambda **arguments: tiny_cris.build(monkeypatch, **arguments)


def save(state: dict[str, Any], path: Path) -> Path:
    torch.save(state, path)
    return path


def safetensors(state: dict[str, Tensor], path: Path) -> Path:
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


CLIP_FILES: dict[str, Callable[[dict[str, Tensor], Path], Path]] = {
    "OpenAI's archive": lambda state, folder: save_archive(state, folder / "RN50.pt"),
    "open_clip": lambda state, folder: safetensors(state, folder / "open_clip_model.safetensors"),
    "plain": lambda state, folder: save(state, folder / "RN50.pt"),
}
CRIS_FILES: dict[str, Callable[[dict[str, Tensor], Path], Path]] = {
    "checkpoint": lambda state, folder: save({"epoch": 3, "state_dict": state}, folder / "best_model.pth"),
    "distributed": lambda state, folder: save(
        {"state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / "best_model.pth"
    ),
    "safetensors": lambda state, folder: safetensors(state, folder / "cris.safetensors"),
}


def other(build: Build) -> CRISNet:
    """A network with other weights than `build` makes, all of them exact in half precision."""
    network = build()
    generator = torch.Generator().manual_seed(3)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator) + ("running_var" in name)
            value.copy_(noise.half().float())
    return network


@pytest.mark.parametrize("kind", CLIP_FILES)
def test_clip_weights(build: Build, kind: str, tmp_path: Path) -> None:
    source = other(build)
    path = CLIP_FILES[kind](clip_state(source), tmp_path)
    state, fresh, expected = build(weights=path).state_dict(), build().state_dict(), source.state_dict()
    added = {name for name in state if name.startswith(("neck.", "decoder.", "proj.", "visual.attnpool.connect."))}
    assert len(added) > 50
    for name, value in state.items():
        assert torch.equal(value, fresh[name] if name in added else expected[name]), name
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("kind", CRIS_FILES)
def test_cris_weights(build: Build, kind: str, tmp_path: Path) -> None:
    source = other(build)
    network = build(weights=CRIS_FILES[kind](official_state(source), tmp_path))
    for name, value in source.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name


def test_weights_are_not_read_where_not_wanted(build: Build, tmp_path: Path) -> None:
    build(weights=tmp_path / "no.pt", load_weights=False)


def changed(state: dict[str, Tensor], **values: Tensor | None) -> dict[str, Tensor]:
    """With some entries replaced, or left out where None."""
    state = {**state, **{name.replace("__", "."): value for name, value in values.items() if value is not None}}
    return {name: value for name, value in state.items() if values.get(name.replace(".", "__"), value) is not None}


BAD_FILES: dict[str, tuple[Callable[[CRISNet], dict[str, Any]], str]] = {
    "CLIPSeg": (
        lambda _: {"clip.vision_model.post_layernorm.weight": torch.zeros(2)},
        r"looks like CLIPSeg in Hugging Face layout; expected CLIP's RN50 .* or CRIS",
    ),
    "CLIP ViT": (lambda _: {"visual.class_embedding": torch.zeros(2)}, "looks like a CLIP ViT in the layout of OpenAI"),
    "something else": (lambda _: {"fc.weight": torch.zeros(2)}, r"looks like unknown, first keys \['fc.weight'\]"),
    "ours": (lambda network: TrainedState(network).state_dict(), "looks like a model file of monai_vlsm"),
    "a bigger CLIP": (
        lambda network: changed(clip_state(network), visual__layer3__1__bn1__bias=torch.zeros(8)),
        r"\(a CLIP ResNet .*\): the weights .*: 0 missing \[\], 1 unexpected \['visual.layer3.1.bn1.bias'\]",
    ),
    "a wider CLIP": (
        lambda network: changed(clip_state(network), visual__conv1__weight=torch.zeros(4, 3, 3, 3)),
        r"1 of another shape \['visual.conv1.weight must be \(2, 3, 3, 3\), is \(4, 3, 3, 3\)'\]",
    ),
    "CLIP without text": (
        lambda network: changed(clip_state(network), ln_final__bias=None),
        r"1 missing \['text.text_model.final_layer_norm.bias'\]",
    ),
    "CRIS without a part of its neck": (
        lambda network: changed(official_state(network), neck__aggr__0__weight=None),
        r"\(CRIS\): the weights .* 1 missing \['neck.aggr.0.weight'\]",
    ),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_wrong_weights(build: Build, case: str, tmp_path: Path) -> None:
    make, message = BAD_FILES[case]
    path = save(make(build()), tmp_path / "weights.pt")
    with pytest.raises(WeightsFileError, match=message) as caught:
        build(weights=path)
    assert str(path) in str(caught.value)


def test_no_weights() -> None:
    with pytest.raises(BackboneNotFoundError, match=r"RN50\.pt") as caught:
        CRISNet()
    message = str(caught.value)
    assert len(message.splitlines()) <= 8
    assert all(part in message for part in ("--weights PATH", "open_clip", "checkpoint of CRIS", "cris-mini"))


def test_unknown_backbone() -> None:
    with pytest.raises(BackboneNotFoundError, match=r"unknown backbone 'rn50' .* cris-mini, cris-rn50"):
        CRISNet("rn50")
