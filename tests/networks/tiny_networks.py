# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A small network of every kind, with weights that depend on nothing, and what goes into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monai_vlsm.adapters import (
    Adaptation,
    AdaptFormerAdaptation,
    CrossModalAdaptation,
    DenseAdaptation,
    FineTuning,
    ShallowAdaptation,
    TelescopicAdaptation,
    VisualPromptAdaptation,
)
from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.networks import CLIPSegNet, CRISNet, PromptedNet, SANNet, TargetUNet
from tests import tiny
from tests.networks import tiny_cris, tiny_encoders, tiny_san

ADAPTATIONS = {
    "none": Adaptation(),
    "dense_v": DenseAdaptation("v", width=4),
    "dense_vl": DenseAdaptation("vl", width=4),
    "dense_vlc": DenseAdaptation("vl", width=4, condition_width=4),
    "shallow_v": ShallowAdaptation("v", width=6),
    "shallow_vl": ShallowAdaptation("vl", width=6),
    "shallow_vlc": ShallowAdaptation("vl", width=6, condition_width=4),
    "telescopic": TelescopicAdaptation(dropout=0.0),
    "prompts": VisualPromptAdaptation(3),
    "adaptformer": AdaptFormerAdaptation("vl", width=4),
    "cross_modal": CrossModalAdaptation(width=4, variational=False),
    "decoder": FineTuning("decoder"),
    "full": FineTuning("full"),
}
TARGETS = ["brain", "polyp", "tumor"]


@dataclass(frozen=True)
class Kind:
    """How a network is made, and where to look into it."""

    build: Callable[..., Any]
    image_parts: Callable[[Any], list[nn.Module]]
    """Modules that each run once for a batch, with one row for each image."""
    text_embedding: str | None
    """Name of the module whose output has one column for each token; None reads no text."""
    idle: tuple[str, ...] = ()
    """How the names of parameters begin that train, but get no gradient."""


def _build_san(folder: Path, **arguments: Any) -> SANNet:
    with pytest.MonkeyPatch.context() as patch:
        tiny_san.shrink_side(patch)
        return SANNet(folder, **{"image_size": tiny_san.SIZE, "default_prompt": "one polyp", **arguments})


def _build_cris(_: Path, **arguments: Any) -> CRISNet:
    with pytest.MonkeyPatch.context() as patch:
        return tiny_cris.build(patch, **{"default_prompt": "brain", "dropout": 0.0, **arguments})


def _build_unet(_: Path, **arguments: Any) -> TargetUNet:
    own = {"targets": TARGETS, "image_size": tiny.SIZE, "default_prompt": "brain"}
    return TargetUNet("unet-mini", **{**own, **arguments})


def _clipseg(adaptation: Adaptation) -> Kind:
    def build(folder: Path, **arguments: Any) -> CLIPSegNet:
        return CLIPSegNet(folder, **{"adaptation": adaptation, "default_prompt": "one polyp", **arguments})

    def parts(network: CLIPSegNet) -> list[nn.Module]:  # the decoder reads nothing behind the tenth layer
        shared = 1 if network.meets else 10
        return [network.base.clip.vision_model.embeddings, *network.base.clip.vision_model.encoder.layers[:shared]]

    return Kind(build, parts, "base.clip.text_model.embeddings")


_written = TemporaryDirectory()


def _medical(write: Callable[[Path], Path]) -> Kind:
    """Dense adapters on encoders in the layout of others; the folder that a test gives is not looked at."""
    dense, place = _clipseg(DenseAdaptation("vl", width=16)), Path(_written.name, write.__name__)

    def build(_: Path, **arguments: Any) -> CLIPSegNet:
        size = {"image_size": 2 * tiny_encoders.PATCH, **arguments}
        return dense.build(place if place.is_dir() else write(place), **size)

    return Kind(build, dense.image_parts, dense.text_embedding)


def _san(fusion: str, *idle: str) -> Kind:
    def parts(network: SANNet) -> list[nn.Module]:
        return [*network.clip.vision_model.encoder.layers, *network.side.blocks]

    return Kind(partial(_build_san, fusion=fusion), parts, "clip.text_model.embeddings", idle)


KINDS: dict[str, Kind] = {
    **{name: _clipseg(adaptation) for name, adaptation in ADAPTATIONS.items()},
    "biomed": _medical(tiny_encoders.write_biomed),
    "pubmed": _medical(tiny_encoders.write_pubmed),
    "cris": Kind(
        _build_cris, lambda network: [network.visual.conv1, network.visual.layer4], "text.text_model.embeddings"
    ),
    "san": _san("san"),
    "san_official": _san("official", "proposals.attn_mlp.", "proposals.bias_scaling.", "side.fusion_layers.3."),
    "unet": Kind(_build_unet, lambda network: [network.unet], None),
}


def slow_beside(fast: Iterable[Any], cases: Iterable[Any]) -> list[Any]:
    """Parameters for a test that takes long: all cases, those that are not ``fast`` marked as slow."""
    kept = list(fast)
    return [
        case if case in kept else pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.slow)
        for case in cases
    ]


def build(kind: str, folder: Path, **arguments: Any) -> Any:
    """A network in evaluation mode; the same call gives the same weights."""
    torch.manual_seed(1)
    return KINDS[kind].build(folder, **arguments).eval()


def inputs(
    network: PromptedNet, images: int = 2, prompts: int | None = None, length: int = 9
) -> tuple[Tensor, Tensor, Tensor]:
    """Images ``(B, 3, H, W)``, ids and mask ``(B, L)`` or ``(B, K, L)`` with texts of different lengths."""
    size = network.image_size
    image = torch.randn(images, 3, size, size, generator=torch.Generator().manual_seed(2))
    begin, end = int(network.default_input_ids[0, 0]), int(network.default_input_ids[0, -1])
    words = _words(network, begin)
    rows = images * (prompts or 1)
    padding = int(load_tokenizer(network.backbone).pad_token_id)
    ids, mask = torch.full((rows, length), padding), torch.zeros(rows, length, dtype=torch.int64)
    ids[:, 0] = begin
    for row in range(rows):
        count = 1 + row % (length - 3)
        ids[row, 1 : 1 + count] = words[(17 * row + 5 * torch.arange(count)) % len(words)]
        ids[row, 1 + count] = end
        mask[row, : count + 2] = 1
    shape = (images, length) if prompts is None else (images, prompts, length)
    return image, ids.reshape(shape), mask.reshape(shape)


def _words(network: PromptedNet, begin: int) -> Tensor:
    """Ids that prompts are made of: any, or for a U-Net the names of its targets."""
    if isinstance(network, TargetUNet):
        return torch.tensor([load_tokenizer(network.backbone)(target).input_ids[1] for target in network.targets])
    ordinary = set(range(len(tokenizer := load_tokenizer(network.backbone)))) - set(tokenizer.all_special_ids)
    return torch.tensor(sorted(ordinary))
