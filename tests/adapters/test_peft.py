# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""LoRA and DoRA compute what the library peft computes with the same weights, and have the same gradients."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from monai_vlsm.adapters import LoRAAdaptation
from monai_vlsm.networks import CLIPSegNet
from tests import tiny

NAMES = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "out_proj", "fc1": "fc1", "fc2": "fc2"}
PARTS = {"down.weight": "lora_A.default.weight", "up.weight": "lora_B.default.weight"}
PARTS |= {"magnitude": "lora_magnitude_vector.default.weight"}
CASES = [
    (("query", "value"), False),
    (("query", "key", "value", "out"), False),
    (tuple(NAMES), False),
    (("query", "value"), True),
    (tuple(NAMES), True),
]


def ours(backbone: Path, adaptation: LoRAAdaptation) -> CLIPSegNet:
    """With updates that do something."""
    torch.manual_seed(0)
    network = CLIPSegNet(backbone, adaptation).double().eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if ".adapter." in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def theirs(backbone: Path, adaptation: LoRAAdaptation) -> CLIPSegNet:
    """The layers that are computed, by a regular expression; a list of names would hit the decoder too."""
    from peft import LoraConfig, inject_adapter_in_model

    network = CLIPSegNet(backbone).eval()
    which = "|".join(NAMES[name] for name in adaptation.projections)
    config = LoraConfig(
        r=adaptation.rank,
        lora_alpha=adaptation.alpha,
        use_dora=adaptation.dora,
        target_modules=rf"clip\.(vision_model\.encoder\.layers\.[0-9]|text_model\.encoder\.layers\.\d+)\..*({which})",
    )
    inject_adapter_in_model(config, network.base)  # on the part of transformers: on the whole it fails
    return network.double()


def parts(network: nn.Module, name: str) -> dict[str, nn.Parameter]:
    """By the name that peft gives: ``adapter.down.weight`` of a layer is ``lora_A.default.weight`` there."""
    return {key: one for key, one in network.named_parameters() if name in key and one.requires_grad}


def gradients(network: CLIPSegNet) -> Tensor:
    end = tiny.end_of_text()
    image = torch.randn(2, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(1)).double()
    logits: Tensor = network(image, torch.tensor([[end - 1, 7, 9, end], [end - 1, 11, end, end]]))
    logits.square().mean().backward()
    return logits.detach()


@pytest.mark.parametrize(("projections", "dora"), CASES)
def test_values_and_gradients(projections: tuple[str, ...], dora: bool, backbone: Path) -> None:
    adaptation = LoRAAdaptation(projections=projections, rank=3, alpha=5.0, dora=dora)
    own, other = ours(backbone, adaptation), theirs(backbone, adaptation)
    pairs = {
        name: other.get_parameter(name.replace(f"adapter.{part}", peft))
        for name in parts(own, ".adapter.")
        for part, peft in PARTS.items()
        if name.endswith(f"adapter.{part}")
    }
    assert (
        len(pairs) == len(parts(own, ".adapter.")) == len(parts(other, ".lora_")) == 20 * len(projections) * (2 + dora)
    )
    with torch.no_grad():
        for name, parameter in pairs.items():
            parameter.copy_(own.get_parameter(name))
    torch.testing.assert_close(gradients(own), gradients(other), rtol=1e-9, atol=1e-12)
    for name, parameter in pairs.items():
        torch.testing.assert_close(own.get_parameter(name).grad, parameter.grad, rtol=1e-7, atol=1e-12)
