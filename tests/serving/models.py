# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Model files of the tiny backbone, as training would write them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import CLIPSegNet, PromptedNet
from tests import tiny

ADAPTATIONS: dict[str, Adaptation] = {
    "dense v": DenseAdaptation("v", width=4),
    "dense vlc": DenseAdaptation("vl", width=3, condition_width=5),
    "shallow": ShallowAdaptation("vl", width=6),
    "decoder": FineTuning("decoder"),
    "full": FineTuning("full"),
    "none": FineTuning("none"),
}


def train(backbone: Path, kind: str) -> CLIPSegNet:
    """A network whose trained weights differ from those that it began with, and from those of the other kinds."""
    torch.manual_seed(list(ADAPTATIONS).index(kind))
    network = CLIPSegNet(backbone, adaptation=ADAPTATIONS[kind], default_prompt="one polyp").eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    return network


def save(network: PromptedNet, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(TrainedState(network).state_dict(), file)
    return file


def ask(network: PromptedNet, seed: int = 0) -> Tensor:
    """Logits of a random image, for two prompts of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(1, 3, network.image_size, network.image_size, generator=generator)
    end = tiny.end_of_text()
    ids = torch.tensor([[[end - 1, 7, 9, end], [end - 1, 11, end, end]]])
    with torch.no_grad():
        logits: Tensor = network(image, ids, (torch.arange(4) < torch.tensor([[[4], [3]]])).long())
    return logits
