# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tiny networks of all kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation
from monai_vlsm.networks import CLIPSegNet, PromptedNet, SANNet, TargetUNet
from tests.networks import tiny_cris, tiny_san

ADAPTATIONS = {
    "dense": DenseAdaptation("vl", width=4, condition_width=4),
    "shallow": ShallowAdaptation("vl", width=4, condition_width=4),
    "none": Adaptation(),
    "decoder": FineTuning("decoder"),
}
NETWORKS = (*ADAPTATIONS, "cris", "cris_all_columns", "san", "unet", "unet_one")
TARGETS = ["brain", "left hemisphere", "white matter"]

Build = Callable[[str], PromptedNet]


@pytest.fixture
def build(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Makes one of `NETWORKS`, with random weights that depend on nothing."""

    def make(kind: str) -> PromptedNet:
        torch.manual_seed(3)
        if kind in ADAPTATIONS:
            return CLIPSegNet(backbone, ADAPTATIONS[kind], default_prompt="one polyp")
        if kind == "san":
            tiny_san.shrink_side(monkeypatch)
            return SANNet(backbone, image_size=tiny_san.SIZE, default_prompt="one polyp")
        if kind.startswith("cris"):
            return tiny_cris.build(monkeypatch, mask_padding=kind == "cris", default_prompt="brain")
        return TargetUNet("unet-mini", TARGETS if kind == "unet" else None, image_size=32, default_prompt="brain")

    return make
