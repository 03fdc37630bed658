# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Names of CLIP's text encoder: from OpenAI's layout to that of Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

__all__ = ["openai_text_weights"]

_OUTSIDE = {
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
}
_INSIDE = {
    "attn.out_proj": "self_attn.out_proj",
    "ln_1": "layer_norm1",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "ln_2": "layer_norm2",
}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


def openai_text_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a text encoder for ``transformers.CLIPTextModelWithProjection``.

    Args:
        state: weights in the layout of OpenAI and open_clip (``transformer.resblocks.0.attn.in_proj_weight``). Names
            that are no text encoder's are left out.

    Returns:
        The same numbers: query, key and value apart, the projection transposed.
    """
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in _OUTSIDE:
            renamed[_OUTSIDE[name]] = value
        elif name == "text_projection":
            renamed["text_projection.weight"] = value.t().contiguous()
        elif match := _BLOCK.fullmatch(name):
            renamed |= _block_weights(match[1], match[2], match[3], value)
    return renamed


def _block_weights(index: str, part: str, kind: str, value: Tensor) -> dict[str, Tensor]:
    layer = f"text_model.encoder.layers.{index}"
    if part == "attn.in_proj":
        return {f"{layer}.self_attn.{qkv}_proj.{kind}": piece for qkv, piece in zip("qkv", value.chunk(3), strict=True)}
    return {f"{layer}.{_INSIDE.get(part, part)}.{kind}": value}
