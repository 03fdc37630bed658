# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adaptations that look into layers, on a BERT, whose layers normalise behind what they add, and a ViT of timm."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import (
    Adaptation,
    AdaptFormerAdaptation,
    CrossModalAdaptation,
    TelescopicAdaptation,
    VisualPromptAdaptation,
)
from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import AdapterBank
from monai_vlsm.transforms import TokenizePrompt
from tests.networks.tiny_encoders import write_biomed
from tests.serving.models import save

ADAPTATIONS = [
    AdaptFormerAdaptation(width=4),
    CrossModalAdaptation(4),
    VisualPromptAdaptation(3),
    TelescopicAdaptation(),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_biomed(tmp_path_factory.mktemp("biomed"))


def build(folder: Path, adaptation: Adaptation | None, by: float = 0.1) -> CLIPSegNet:
    torch.manual_seed(0)
    network = CLIPSegNet(folder, adaptation, image_size=64, default_prompt="polyp").eval()
    drawn = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "decoder" in name:  # drawn anew for each network
                parameter.normal_(std=0.05, generator=drawn)
            elif parameter.requires_grad:
                parameter.add_(by * torch.randn_like(parameter))
    return network


@torch.no_grad()
def ask(network: CLIPSegNet, folder: Path, longer: int = 0) -> Tensor:
    ids, mask = TokenizePrompt(load_tokenizer(folder))(["polyp", "one small polyp"])
    pad = load_tokenizer(folder).pad_token_id
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    if longer:
        return network(image, torch.nn.functional.pad(ids[:, : int(mask.sum(-1).max())], (0, longer), value=pad))
    return network(image, ids, mask)


@pytest.mark.parametrize("adaptation", ADAPTATIONS[:2], ids=str)
def test_begins_as_the_frozen_network(adaptation: Adaptation, folder: Path) -> None:
    found, plain = (ask(build(folder, one, by=0.0), folder) for one in (adaptation, None))
    torch.testing.assert_close(found, plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("adaptation", ADAPTATIONS, ids=str)
def test_trained_saved_and_without_a_look_at_padding(adaptation: Adaptation, folder: Path, tmp_path: Path) -> None:
    network = build(folder, adaptation)
    expected = ask(network, folder)
    assert (expected - ask(build(folder, None), folder)).abs().max() > 1e-4
    torch.testing.assert_close(ask(network, folder, longer=5), expected, atol=1e-5, rtol=1e-4)
    bank = AdapterBank(folder)
    bank.load("it", save(network, tmp_path / "model.pt"))
    torch.testing.assert_close(ask(bank.network("it"), folder), expected, atol=1e-5, rtol=1e-4)  # type: ignore[arg-type]
