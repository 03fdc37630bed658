# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""AdaptFormer against layers that are computed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.adapters import AdaptFormerAdaptation
from monai_vlsm.networks import CLIPSegNet
from tests.adapters.trained import network


@pytest.fixture
def adapted(backbone: Path) -> CLIPSegNet:
    return network(backbone, AdaptFormerAdaptation("vl", width=4, scale=0.5))


@pytest.mark.parametrize("encoder", ["vision_model", "text_model"])
def test_a_layer_by_hand(adapted: CLIPSegNet, backbone: Path, encoder: str) -> None:
    layer, plain = (getattr(net.base.clip, encoder).encoder.layers[9] for net in (adapted, network(backbone, None)))
    x = torch.randn(2, 5, layer.embed_dim)
    stream = x + plain.self_attn(plain.layer_norm1(x))[0]
    down, up = layer.layer_norm2.down, layer.mlp.up
    branch = torch.relu(stream @ down.weight.T + down.bias) @ up.weight.T + up.bias
    expected = stream + plain.mlp(plain.layer_norm2(stream)) + 0.5 * branch
    torch.testing.assert_close(layer(x, None), expected, rtol=1e-5, atol=1e-5)
    assert (branch.abs().max() > 1e-3) and down.out_features == 4


def test_the_deepest_vision_layers_are_left_out(adapted: CLIPSegNet) -> None:
    clip = adapted.base.clip
    encoders = clip.vision_model.encoder, clip.text_model.encoder
    branched = [[hasattr(layer.mlp, "up") for layer in encoder.layers] for encoder in encoders]
    assert branched == [[True] * 10 + [False] * 2, [True] * 10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"encoders": "l"}, "encoders must be one of"), ({"width": 0}, "width must be a positive")],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdaptFormerAdaptation(**arguments)
