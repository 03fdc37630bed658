# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How the tokens of a text look at each other, and at which of them the encoder is read: CLIP's way and BERT's."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from transformers.masking_utils import create_causal_mask

from monai_vlsm.networks.bert_text import bert_mask

__all__ = ["TextReading", "text_reading"]


class TextReading(NamedTuple):
    """How a text encoder reads B texts.

    Attributes:
        ends: index of the token whose state is the result, ``(B,)``.
        mask: what each layer takes as its mask.
        is_causal: whether a token looks back only.
    """

    ends: Tensor
    mask: Any
    is_causal: bool


def text_reading(config: Any, hidden: Tensor, input_ids: Tensor) -> TextReading:
    """CLIP looks back and is read at the end-of-text token; BERT looks everywhere and is read at the first token.

    Args:
        config: the ``text_config``.
        hidden: embedded tokens ``(B, L, C)``.
        input_ids: ``(B, L)``.
    """
    if getattr(config, "encoder", "clip") == "bert":
        return TextReading(input_ids.new_zeros(input_ids.shape[0]), bert_mask(config, hidden, input_ids), False)
    mask = create_causal_mask(config, inputs_embeds=hidden, attention_mask=None, past_key_values=None)
    return TextReading(_end_positions(config, input_ids), mask, True)


def _end_positions(config: Any, input_ids: Tensor) -> Tensor:
    """Index of the end-of-text token in each row, found as transformers' pooling finds it."""
    if config.eos_token_id == 2:  # files older than transformers 4.31 hold no ids; there the highest one ends a text
        return input_ids.argmax(-1)
    return (input_ids == config.eos_token_id).int().argmax(-1)
