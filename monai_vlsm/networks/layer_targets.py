# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Encoders in the layout of transformers' CLIP, as places for adapters."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.models.clipseg.modeling_clipseg import CLIPSegDecoderLayer

from monai_vlsm.adapters import EncoderTargets, LayerTargets

__all__ = ["clip_encoder"]


def clip_encoder(layers: nn.ModuleList, width: int) -> EncoderTargets:
    """The places of an encoder.

    Args:
        layers: such as ``CLIPEncoder`` and ``CLIPSegEncoder`` hold.
        width: size of its hidden states.
    """
    return EncoderTargets(width, [_layer(layer) for layer in layers])


def _layer(layer: Any) -> LayerTargets:
    attention, mlp = layer.self_attn, layer.mlp
    return LayerTargets(
        module=layer,
        attention=attention,
        mlp=mlp,
        norms=(layer.layer_norm1, layer.layer_norm2),
        query=attention.q_proj,
        key=attention.k_proj,
        value=attention.v_proj,
        out=attention.out_proj,
        fc1=mlp.fc1,
        fc2=mlp.fc2,
        norm_first=not isinstance(layer, CLIPSegDecoderLayer),
    )
