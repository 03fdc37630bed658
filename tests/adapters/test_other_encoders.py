# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adaptations that look into layers, on the encoders of others.

BiomedCLIP's are a ViT of timm and a BERT, whose layers normalise behind what they add; PubMedCLIP's are of CLIP, with
patches of 32 px.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import (
    Adaptation,
    AdaptFormerAdaptation,
    CrossModalAdaptation,
    SliceContextAdaptation,
    TelescopicAdaptation,
    VisualPromptAdaptation,
    trainable_parameters,
)
from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.networks import CLIPSegNet, load_network
from monai_vlsm.serving import AdapterBank
from monai_vlsm.transforms import TokenizePrompt
from tests.networks.tiny_encoders import write_biomed, write_pubmed
from tests.networks.tiny_networks import slow_beside
from tests.serving.models import save

IDENTITIES = [
    AdaptFormerAdaptation(width=8),
    CrossModalAdaptation(4),
    SliceContextAdaptation(AdaptFormerAdaptation("v", width=8), width=8),
]
ADAPTATIONS = [*IDENTITIES, VisualPromptAdaptation(3), TelescopicAdaptation(dropout=0.0)]
FAST = [one for one in ADAPTATIONS if one.slices == 1]
IDLE = "norm_key.bias"  # what is added to all keys changes no attention


@pytest.fixture(scope="module", params=slow_beside([write_biomed], [write_biomed, write_pubmed]))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written: Path = request.param(tmp_path_factory.mktemp("encoders"))
    return written


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


def given(network: CLIPSegNet, folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    ids, mask = TokenizePrompt(load_tokenizer(folder))(["polyp", "one small polyp"])
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return image.repeat(1, network.slices, 1, 1), ids, mask


@torch.no_grad()
def ask(network: CLIPSegNet, folder: Path, longer: int = 0) -> Tensor:
    image, ids, mask = given(network, folder)
    pad = load_tokenizer(folder).pad_token_id
    if longer and (folder / "vocab.txt").is_file():  # of BERT; what fills up a text of CLIP is its end
        return network(image, torch.nn.functional.pad(ids[:, : int(mask.sum(-1).max())], (0, longer), value=pad))
    return network(image, ids, mask)


@pytest.mark.parametrize("adaptation", IDENTITIES, ids=str)
def test_begins_as_the_frozen_network(adaptation: Adaptation, folder: Path) -> None:
    found, plain = (ask(build(folder, one, by=0.0), folder) for one in (adaptation, None))
    torch.testing.assert_close(found, plain, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("adaptation", slow_beside(FAST, ADAPTATIONS), ids=str)
def test_every_parameter_gets_a_gradient(adaptation: Adaptation, folder: Path) -> None:
    """After three steps in float64: the first reaches what begins at zero."""
    torch.manual_seed(0)
    network = CLIPSegNet(folder, adaptation, image_size=64).double().train()
    image, ids, mask = given(network, folder)
    optimizer = torch.optim.AdamW(trainable_parameters(network), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        (network(image.double(), ids, mask) - 1).square().mean().backward()
        optimizer.step()
    own = {n: p for n, p in network.named_parameters() if p.requires_grad and not n.startswith("base.decoder.")}
    largest = {name: 0.0 if one.grad is None else float(one.grad.abs().max()) for name, one in own.items()}
    assert len(own) > 9
    assert {name for name, value in largest.items() if value < 1e-14} == {name for name in own if IDLE in name}


@pytest.mark.parametrize("adaptation", slow_beside(FAST, ADAPTATIONS), ids=str)
def test_trained_saved_and_without_a_look_at_padding(adaptation: Adaptation, folder: Path, tmp_path: Path) -> None:
    network = build(folder, adaptation)
    expected = ask(network, folder)
    assert (expected - ask(build(folder, None), folder)).abs().max() > 2e-5
    torch.testing.assert_close(ask(network, folder, longer=5), expected, atol=1e-5, rtol=1e-4)
    file, bank = save(network, tmp_path / "model.pt"), AdapterBank(folder)
    bank.load("it", file)
    loaded: Any = (load_network(file, folder), bank.network("it"))
    for again in loaded:
        torch.testing.assert_close(ask(again, folder), expected, atol=1e-5, rtol=1e-4)
