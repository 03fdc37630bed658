# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""BERT as the text encoder of a CLIPSeg, in modules of transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertPreTrainedModel
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.bert.modeling_bert import BertEmbeddings
from transformers.models.clipseg.modeling_clipseg import CLIPSegDecoderLayer

__all__ = ["BertTextEncoder", "bert_mask", "bert_weights", "bert_words", "text_projection"]

_INSIDE = {
    "attention.self.query": "self_attn.q_proj",
    "attention.self.key": "self_attn.k_proj",
    "attention.self.value": "self_attn.v_proj",
    "attention.output.dense": "self_attn.out_proj",
    "attention.output.LayerNorm": "layer_norm1",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
    "output.LayerNorm": "layer_norm2",
}
_LAYER = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)")


class BertTextEncoder(BertPreTrainedModel):
    """BERT with the names of CLIPSeg's text encoder, so that whatever adapts one adapts the other.

    Embeddings are transformers' of BERT. A layer of BERT is what transformers calls a decoder layer of CLIPSeg:
    attention and MLP, each normalised after what they are added to.

    Args:
        config: a ``text_config`` of CLIPSeg with ``type_vocab_size``.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.embeddings = BertEmbeddings(
            BertConfig(
                vocab_size=config.vocab_size,
                hidden_size=config.hidden_size,
                max_position_embeddings=config.max_position_embeddings,
                type_vocab_size=config.type_vocab_size,
                layer_norm_eps=config.layer_norm_eps,
                pad_token_id=config.pad_token_id,
                hidden_dropout_prob=0.0,
            )
        )
        layers = [CLIPSegDecoderLayer(config) for _ in range(config.num_hidden_layers)]
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(layers)})
        self.final_layer_norm = nn.Identity()


def text_projection(config: Any) -> nn.Module:
    """From the state of the first token to the embedding: the two layers that open_clip calls ``mlp``."""
    inner = (config.text_config.hidden_size + config.projection_dim) // 2
    return nn.Sequential(
        nn.Linear(config.text_config.hidden_size, inner, bias=False),
        nn.GELU(),
        nn.Linear(inner, config.projection_dim, bias=False),
    )


def bert_words(config: Any, input_ids: Tensor) -> Tensor:
    """Which tokens ``(B, L)`` are looked at: those that are no padding, and the first, whose state is the result."""
    words = input_ids != config.pad_token_id
    return torch.cat([torch.ones_like(words[:, :1]), words[:, 1:]], dim=1)


def bert_mask(config: Any, hidden: Tensor, words: Tensor) -> Any:
    """The same as a mask that the layers take.

    Args:
        config: the ``text_config``.
        hidden: embedded tokens ``(B, L, C)``.
        words: of `bert_words`.
    """
    # the mask of rows without padding is kept too: leaving it out means to look at the values, which a GPU waits for
    return create_bidirectional_mask(
        config, inputs_embeds=hidden, attention_mask=words, allow_is_bidirectional_skip=False
    )


def bert_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the weights of a BERT for `BertTextEncoder`.

    Args:
        state: weights with the names of transformers' ``BertModel``. Its pooler, which no CLIP reads, and the indices
            that old files carry are left out; unknown names stay as they are.
    """
    renamed = {}
    for name, value in state.items():
        if match := _LAYER.fullmatch(name):
            renamed[f"encoder.layers.{match[1]}.{_INSIDE.get(match[2], match[2])}.{match[3]}"] = value
        elif not name.startswith("pooler.") and not name.endswith(("position_ids", "token_type_ids")):
            renamed[name] = value
    return renamed
