# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A CRIS of a few thousand weights, and its weights under the names of published files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monai_vlsm.networks import cris
from monai_vlsm.networks.cris import CRISNet

SIZE = 64
ARCHITECTURE: dict[str, Any] = {
    "model_type": "cris",
    "image_size": SIZE,
    "tokenizer": "clipseg-mini",
    "pretrained": False,
    "projection_dim": 8,
    "vision": {"layers": [1, 2, 1, 1], "width": 4, "grid": 3},
    "text": {
        "vocab_size": 1277,
        "hidden_size": 12,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "bos_token_id": 1275,
        "eos_token_id": 1276,
        "pad_token_id": 1276,
    },
    "neck_widths": [8, 12, 16],
    "decoder": {"layers": 2, "heads": 2, "ffn": 16},
}
OUR_TEXT = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
}
OUR_LAYER = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "layer_norm2": "ln_2",
}


def build(monkeypatch: pytest.MonkeyPatch, architecture: dict[str, Any] | None = None, **arguments: Any) -> CRISNet:
    """A network of `ARCHITECTURE`, or another one, that goes by the name of cris-mini; its weights depend on no seed.

    Blocks that begin as the identity are made to do something, so that tests see them.
    """
    monkeypatch.setattr(cris, "load_architecture", lambda *_: architecture or ARCHITECTURE)
    torch.manual_seed(1)
    network = CRISNet("cris-mini", **{"image_size": SIZE, **arguments})
    for module in network.visual.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


def official_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of a network under the names of the authors' CRIS; without ``backbone.`` they are OpenAI's."""
    state = dict(network.state_dict())
    official = {}
    for name, value in state.items():
        own, _, rest = name.partition(".")
        if own in ("neck", "decoder", "proj"):
            official[name] = value
        elif own != "text":
            official[f"backbone.{name}"] = value
        elif rest in OUR_TEXT:
            official[f"backbone.{OUR_TEXT[rest]}"] = value
        elif rest == "text_projection.weight":
            official["backbone.text_projection"] = value.T
        else:
            official |= _layer_weight(rest, state)
    return official


def clip_state(network: nn.Module) -> dict[str, Tensor]:
    """The part of it that OpenAI's file has."""
    state = {name.removeprefix("backbone."): value for name, value in official_state(network).items()}
    return {name: value for name, value in state.items() if not re.match(r"neck|decoder|proj|.*connect", name)}


def _layer_weight(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    match = re.fullmatch(r"text_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)", name)
    assert match
    index, part, kind = match.groups()
    block = f"backbone.transformer.resblocks.{index}"
    if part in OUR_LAYER:
        return {f"{block}.{OUR_LAYER[part]}.{kind}": state[f"text.{name}"]}
    parts = [state[f"text.text_model.encoder.layers.{index}.self_attn.{qkv}_proj.{kind}"] for qkv in "qkv"]
    return {f"{block}.attn.in_proj_{kind}": torch.cat(parts)}


def save_archive(state: dict[str, Tensor], path: Path) -> Path:
    """Write weights as OpenAI publishes them: a TorchScript archive with half-precision weights and three numbers."""

    def set_entry(module: nn.Module, name: str, value: Tensor) -> None:
        *path, last = name.split(".")
        for part in path:
            if not hasattr(module, part):
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        if value.is_floating_point():
            module.register_parameter(last, nn.Parameter(value.half(), requires_grad=False))
        else:
            module.register_buffer(last, value)

    root = nn.Module()
    for name, value in state.items():
        set_entry(root, name, value)
    for name, number in {"input_resolution": 224, "context_length": 77, "vocab_size": 1277}.items():
        root.register_buffer(name, torch.tensor(number))
    torch.jit.save(torch.jit.script(root), path)
    return path
