# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights of a vision transformer of timm or DINOv2, for the modules of transformers' CLIPSeg."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["timm_vision_weights"]

_INSIDE = {
    "norm1": "layer_norm1",
    "attn.proj": "self_attn.out_proj",
    "norm2": "layer_norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_SCALED = {"attn.proj": "ls1.gamma", "mlp.fc2": "ls2.gamma"}
_KNOWN = re.compile(
    r"cls_token|pos_embed|(patch_embed\.proj|norm)\.(weight|bias)"
    r"|blocks\.\d+\.((norm[12]|attn\.qkv|attn\.proj|mlp\.fc[12])\.(weight|bias)|ls[12]\.gamma)"
)


def timm_vision_weights(state: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Rename the weights of a vision transformer for ``CLIPSegVisionModel`` without its first normalisation.

    What CLIPSeg has no place for is computed into its neighbour: the bias of the patches into their positions (an
    interpolation of positions keeps what all have in common), the scale of a branch (LayerScale) into its last layer.

    Args:
        state: weights with the names of timm and DINOv2; others stay as they are.
        layers: how many of the layers to take, from the first.

    Raises:
        KeyError: when one is missing.
    """
    positions = state["pos_embed"][0].clone()
    positions[1:] += state["patch_embed.proj.bias"]
    renamed: dict[str, Tensor] = {name: value for name, value in state.items() if not _KNOWN.fullmatch(name)}
    renamed |= {
        "embeddings.class_embedding": state["cls_token"].flatten(),
        "embeddings.patch_embedding.weight": state["patch_embed.proj.weight"],
        "embeddings.position_embedding.weight": positions,
        "post_layernorm.weight": state["norm.weight"],
        "post_layernorm.bias": state["norm.bias"],
    }
    for index in range(layers):
        renamed |= _layer_weights(state, index)
    return renamed


def _layer_weights(state: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
    source, target = f"blocks.{index}", f"encoder.layers.{index}"
    renamed = {}
    for kind in ("weight", "bias"):
        for name, piece in zip("qkv", state[f"{source}.attn.qkv.{kind}"].chunk(3), strict=True):
            renamed[f"{target}.self_attn.{name}_proj.{kind}"] = piece.contiguous()
        for part, ours in _INSIDE.items():
            value = state[f"{source}.{part}.{kind}"]
            scale = state.get(f"{source}.{_SCALED[part]}") if part in _SCALED else None
            if scale is not None:
                value = torch.einsum("o,o...->o...", scale, value)
            renamed[f"{target}.{ours}.{kind}"] = value
    return renamed
