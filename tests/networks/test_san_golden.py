# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""SANNet against numbers that the classes of the VLSM-Adapter authors computed (see tests/golden/reader.py)."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from monai_vlsm.losses import PromptedSegmentationLoss
from monai_vlsm.networks import SANNet, san
from tests.golden.reader import Golden, load

# our names, in the order in which they are tried; {n} is a number
SIDE_NAMES = {
    r"query_embed": "side.queries",
    r"query_pos_embed": "side.query_positions",
    r"vit_model\.pos_embed": "side.embed.position_embeddings",
    r"vit_model\.patch_embed\.proj": "side.embed.patch_embeddings",
    r"vit_model\.(blocks\.\d+)\.attn\.qkv\.(weight|bias)": r"side.\1.self_attn.in_proj_\2",
    r"vit_model\.(blocks\.\d+)\.attn\.proj": r"side.\1.self_attn.out_proj",
    r"vit_model\.(blocks\.\d+)\.mlp\.fc": r"side.\1.linear",
    r"vit_model\.(blocks\.\d+)\.": r"side.\1.",
    r"mask_decoder\.(query|attn)_mlp\.layers\.(\d)": r"proposals.\1_mlp.\2",
    r"mask_decoder\.pix_mlp\.layers\.(\d)": r"proposals.pixel_mlp.\1",
    r"mask_decoder\.bias_scaling": "proposals.bias_scaling",
    r"fusion_layers\.layer_(\d)\.input_proj\.0": r"side.fusion_layers.\1.norm",
    r"fusion_layers\.layer_(\d)\.input_proj\.1": r"side.fusion_layers.\1.project",
}
CLIP_NAMES = {
    r"visual\.transformer\.resblocks": "vision_model.encoder.layers",
    r"transformer\.resblocks": "text_model.encoder.layers",
    r"visual\.class_embedding": "vision_model.embeddings.class_embedding",
    r"visual\.conv1": "vision_model.embeddings.patch_embedding",
    r"visual\.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    r"visual\.ln_pre": "vision_model.pre_layrnorm",
    r"visual\.ln_post": "vision_model.post_layernorm",
    r"visual\.proj": "visual_projection.weight",
    r"token_embedding": "text_model.embeddings.token_embedding",
    r"positional_embedding": "text_model.embeddings.position_embedding.weight",
    r"ln_final": "text_model.final_layer_norm",
    r"text_projection": "text_projection.weight",
    r"logit_scale": "logit_scale",
}
CLIP_PARTS = {"attn.": "self_attn.", "ln_": "layer_norm", "c_fc": "fc1", "c_proj": "fc2"}
COPIES = ("clip_visual_extractor.", "clip_rec_head.")  # layers of CLIP that the authors hold a second time
SANS_OWN_MAP = {0: 0, 1: 3, 2: 6, 3: 9}

read = lru_cache(maxsize=None)(load)


def our_weights(name: str, value: Tensor) -> dict[str, Tensor]:
    """One entry of the authors' state under our names and in our shapes: 1 x 1 convolutions are linear layers here."""
    if name.startswith("side_adapter_network."):
        name = renamed(name.removeprefix("side_adapter_network."), SIDE_NAMES)
        name = re.sub(r"_mlp\.(\d)", lambda match: f"_mlp.{2 * int(match[1])}", name)
        name = re.sub(r"fusion_layers\.(\d)", lambda match: f"fusion_layers.{int(match[1]) // 3}", name)
        return {name: value.flatten(1) if value.shape[2:] == (1, 1) else value}
    name = renamed(name.removeprefix("clip_model."), CLIP_NAMES)
    for old, new in CLIP_PARTS.items():
        name = name.replace(old, new) if ".layers." in name else name
    if "in_proj_" in name:
        return {f"clip.{name.replace('in_proj_', f'{p}_proj.')}": v for p, v in zip("qkv", value.chunk(3), strict=True)}
    return {f"clip.{name}": value.t() if name.endswith("_projection.weight") else value}


def renamed(name: str, names: dict[str, str]) -> str:
    for old, new in names.items():
        if re.match(old, name):
            return re.sub(rf"^{old}", new, name)
    raise KeyError(name)


def group(golden: Golden, start: str) -> dict[str, Tensor]:
    """Tensors below ``start/``, under our names."""
    found: dict[str, Tensor] = {}
    for name, value in golden.tensors.items():
        inner = name.removeprefix(f"{start}/")
        if name.startswith(f"{start}/") and not inner.startswith(COPIES):
            found |= our_weights(inner, value)
    return found


def clip_config(facts: dict[str, Any]) -> CLIPConfig:
    vision, text = facts["config"]["vision"], facts["config"]["text"]
    return CLIPConfig(
        projection_dim=facts["config"]["embed_dim"],
        vision_config={
            "hidden_size": vision["width"],
            "intermediate_size": 4 * vision["width"],
            "num_hidden_layers": vision["layers"],
            "num_attention_heads": vision["width"] // vision["head_width"],
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "hidden_act": "quick_gelu",
        },
        text_config={
            "vocab_size": text["vocab_size"],
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_hidden_layers": text["layers"],
            "num_attention_heads": text["heads"],
            "max_position_embeddings": text["context_length"],
            "hidden_act": "quick_gelu",
            "bos_token_id": text["vocab_size"] - 2,
            "eos_token_id": text["vocab_size"] - 1,
            "pad_token_id": text["vocab_size"] - 1,
        },
    )


def side_numbers(facts: dict[str, Any]) -> dict[str, int]:
    side = facts["config"]["side_vit"]
    return {
        "patch_size": side["patch_size"],
        "width": side["embed_dim"],
        "depth": side["depth"],
        "heads": side["num_heads"],
        "queries": facts["config"]["num_queries"],
    }


@pytest.fixture
def golden() -> Golden:
    return read("san")


@pytest.fixture
def official(golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SANNet:
    CLIPModel(clip_config(golden.facts)).save_pretrained(tmp_path)
    size = golden.facts["config"]["side_vit"]["img_size"]
    numbers = {
        **san.load_san_architecture(tmp_path),
        "image_size": size,
        "side": side_numbers(golden.facts),
        "mask_width": golden.facts["config"]["mask_decoder"]["embed_channels"],
    }
    monkeypatch.setattr(san, "load_san_architecture", lambda _: numbers)
    network = SANNet(tmp_path, image_size=size, fusion="official", load_weights=False)
    network.load_state_dict(group(golden, "state"), strict=True)
    return network.double()


def logits_of(network: SANNet, golden: Golden) -> Tensor:
    return network(golden.tensors["in/pixel_values"], golden.tensors["in/input_ids"])


def test_the_authors_second_copies_of_clip_are_the_same(golden: Golden) -> None:
    """So one CLIP, each of whose layers runs once, computes what they compute."""
    visual = "state/clip_model.visual."
    for name, value in golden.tensors.items():
        if name.startswith("state/clip_visual_extractor."):
            inner = name.removeprefix("state/clip_visual_extractor.").replace("resblocks", "transformer.resblocks")
            assert torch.equal(value, golden.tensors[visual + inner]), name
        if name.startswith("state/clip_rec_head."):
            inner = name.removeprefix("state/clip_rec_head.").replace("resblocks", "transformer.resblocks")
            behind = re.sub(r"(?<=resblocks\.)\d+", lambda match: str(int(match[0]) + 9), inner)
            assert torch.equal(value, golden.tensors[visual + behind]), name


def test_logits(official: SANNet, golden: Golden) -> None:
    expected = golden.tensors["out/logits_eval"]
    torch.testing.assert_close(logits_of(official.eval(), golden), expected, atol=1e-4, rtol=0)


def test_logits_in_training_mode(official: SANNet, golden: Golden) -> None:
    expected = golden.tensors["out/logits_train"]
    torch.testing.assert_close(logits_of(official.train(), golden), expected, atol=1e-4, rtol=0)


def test_logits_with_sans_own_map(official: SANNet, golden: Golden) -> None:
    official.side.fusion = SANS_OWN_MAP
    expected = golden.tensors["out/logits_eval_original_san_fusion_map"]
    torch.testing.assert_close(logits_of(official.eval(), golden), expected, atol=1e-4, rtol=0)


def test_loss_and_gradients(official: SANNet, golden: Golden) -> None:
    loss = PromptedSegmentationLoss("double_sigmoid")(logits_of(official.train(), golden), golden.tensors["in/mask"])
    assert loss.item() == pytest.approx(golden.facts["losses"]["official_head"], rel=1e-5)
    loss.backward()
    expected = group(golden, "grad_official_head")
    found = {name: parameter.grad for name, parameter in official.named_parameters() if parameter.grad is not None}
    assert len(expected) == 125
    assert set(found) == set(expected)
    for name, gradient in found.items():
        error = (gradient - expected[name]).norm() / expected[name].norm()
        assert error < 1e-3, f"{name}: relative error of the gradient {error:.1e}"


def test_what_gets_no_gradient_there_is_frozen_here_or_said_so(official: SANNet, golden: Golden) -> None:
    """All of CLIP is frozen; what else gets none is part of the file all the same, since the forward pass reads it."""
    without: set[str] = set()
    for name in golden.facts["requires_grad_but_no_gradient"]:
        without |= set(our_weights(name, golden.tensors[f"state/{name}"]))
    ours = {name for name, parameter in official.named_parameters() if parameter.requires_grad}
    assert {name for name in without if name.startswith("clip.")}.isdisjoint(ours)
    assert {name for name in without if not name.startswith("clip.")} < ours == set(official.trained_names)
