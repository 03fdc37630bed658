# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What only SANNet has: proposals and how they are mixed, its two fusions, its sizes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.adapters import count_parameters
from monai_vlsm.backbones import default_image_size, known_backbones
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import SANNet
from monai_vlsm.networks.san import SANFeatures
from tests import tiny
from tests.networks.tiny_networks import build, inputs

POSITIONS = "clip.vision_model.embeddings.position_embedding.weight"


@pytest.fixture
def network(request: pytest.FixtureRequest, backbone: Path) -> SANNet:
    return build(getattr(request, "param", "san"), backbone)


# --- decoding ---------------------------------------------------------------------------------------------------------


def test_logits_are_a_mean_of_proposals(network: SANNet) -> None:
    """Equal fit: the plain mean. A proposal that fits far better than the others: its mask alone."""
    masks = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(5))
    text = torch.nn.functional.one_hot(torch.tensor([0, 5]), 8).float()
    seen = torch.nn.functional.one_hot(torch.tensor([[0, 1, 2]]), 8).float()
    torch.nn.init.constant_(network.clip.logit_scale, 4.6)  # CLIP's own: a factor of 100
    enlarged = torch.nn.functional.interpolate(masks, size=(64, 64), mode="bilinear", align_corners=False)
    expected = torch.stack([enlarged[0, 0], enlarged[0].mean(0)])[None]
    torch.testing.assert_close(network.decode(SANFeatures(masks, seen), text), expected)


def test_only_the_directions_of_embeddings_count(network: SANNet) -> None:
    generator = torch.Generator().manual_seed(5)
    masks, seen = torch.randn(2, 3, 4, 4, generator=generator), torch.randn(2, 3, 8, generator=generator)
    text = torch.randn(4, 8, generator=generator)
    expected = network.decode(SANFeatures(masks, seen), text)
    torch.testing.assert_close(network.decode(SANFeatures(masks, 7 * seen), 3 * text), expected)


def test_official_logits_are_a_sum_of_products() -> None:
    masks = torch.arange(3.0).reshape(1, 3, 1, 1).expand(-1, -1, 4, 4)
    seen, text = 5 * torch.eye(3)[None], torch.tensor([[3.0, 6.0, 9.0]])
    with torch.device("meta"):
        network = SANNet(fusion="official", load_weights=False)
    logits = network.decode(SANFeatures(masks, seen), text)
    torch.testing.assert_close(logits, torch.full((1, 1, 64, 64), (0 * 3 + 1 * 6 + 2 * 9) / 3))


# --- what trains ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ["san", "san_official"], indirect=True)
def test_what_trains(network: SANNet) -> None:
    others = {name for name in network.trained_names if not name.startswith(("side.", "proposals."))}
    assert others == ({POSITIONS} if network.fusion == "san" else set())


@pytest.mark.parametrize("network", ["san_official"], indirect=True)
def test_the_frozen_part_keeps_no_graph_where_nothing_trains_before_it(network: SANNet) -> None:
    image, ids, _ = inputs(network)
    features = network.encode_image(image)
    assert features.masks.requires_grad
    assert not features.embeddings.requires_grad
    assert not network.encode_text(ids).requires_grad


def test_model_file_fits_another_image_size(backbone: Path, network: SANNet) -> None:
    network.load_state_dict(TrainedState(build("san", backbone, image_size=96)).state_dict())


@pytest.mark.parametrize(("fusion", "trainable"), [("san", 8_219_058 + 151_296), ("official", 8_219_058)])
def test_real_size(fusion: Any, trainable: int) -> None:
    with torch.device("meta"):
        network = SANNet(fusion=fusion, load_weights=False)
        features = network.encode_image(torch.empty(2, 3, 640, 640))
    assert count_parameters(network) == (trainable, 157_839_795)
    assert (network.image_size, network.stride) == (640, 32)
    assert features.masks.shape == (2, 100, 40, 40)
    assert features.embeddings.shape == (2, 100, 512)


def test_real_size_group_by_group(shared: Path) -> None:
    """Numbers in each part, as the authors' code has them."""
    groups = json.loads((shared / "golden" / "facts_san.json").read_text())["san"]["groups"]
    theirs = {name.removeprefix("side_adapter_network."): values[1] for name, values in groups.items()}
    with torch.device("meta"):
        network = SANNet(load_weights=False)
    ours: Counter[str] = Counter()
    for name, parameter in network.named_parameters():
        if not name.startswith("clip."):
            ours[".".join(name.split(".")[:2])] += parameter.numel()
    assert ours == {
        "side.queries": theirs["query_embed"],
        "side.query_positions": theirs["query_pos_embed"],
        "side.embed": theirs["vit_model.pos_embed"] + theirs["vit_model.patch_embed"],
        "side.blocks": theirs["vit_model.blocks"],
        "side.fusion_layers": sum(theirs[f"fusion_layers.layer_{layer}"] for layer in (0, 3, 6, 9)),
        "proposals.query_mlp": theirs["mask_decoder.query_mlp"],
        "proposals.pixel_mlp": theirs["mask_decoder.pix_mlp"],
        "proposals.attn_mlp": theirs["mask_decoder.attn_mlp"],
        "proposals.bias_scaling": theirs["mask_decoder.bias_scaling"],
    }


def test_mini() -> None:
    network = SANNet("san-mini", default_prompt="brain").eval()
    assert (network.image_size, network.stride) == (160, 32)
    assert network(torch.zeros(1, 3, 160, 160)).shape == (1, 1, 160, 160)
    assert network.encode_image(torch.zeros(1, 3, 160, 160)).masks.shape == (1, 20, 20, 20)
    assert network.clip.logit_scale.exp().item() == pytest.approx(100)
    assert "clip.visual_projection.weight" in network.trained_names
    assert count_parameters(network)[0] < 500_000


def test_names() -> None:
    assert known_backbones("san") == ["san-mini", "san-vit-b16"]
    assert default_image_size("san-vit-b16") == 640


# --- bad input --------------------------------------------------------------------------------------------------------


def test_unknown_fusion(backbone: Path) -> None:
    with pytest.raises(ValueError, match="fusion must be one of san, official, got 'paper'"):
        SANNet(backbone, fusion="paper")  # type: ignore[arg-type]


def test_stride_follows_clips_patches(tmp_path: Path) -> None:
    config = tiny.config()
    config.vision_config.patch_size, config.vision_config.image_size = 14, 28
    config.save_pretrained(tmp_path)
    tiny.write_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=r"multiple of 112 .* got 640; the nearest are 560 and 672"):
        SANNet(tmp_path, image_size=640, load_weights=False)
