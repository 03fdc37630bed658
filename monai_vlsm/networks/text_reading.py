# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How the tokens of a text look at each other, and at which of them the encoder is read: CLIP's way and BERT's."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask

from monai_vlsm.networks.bert_text import bert_mask, bert_words

__all__ = ["TextReading", "text_mask", "text_reading"]


class TextReading(NamedTuple):
    """How a text encoder reads B texts.

    Attributes:
        ends: index of the token whose state is the result, ``(B,)``.
        words: which tokens are no padding, ``(B, L)`` bool.
    """

    ends: Tensor
    words: Tensor


def text_reading(config: Any, input_ids: Tensor) -> TextReading:
    """CLIP is read at the end-of-text token, behind which is padding; BERT at the first token.

    Args:
        config: the ``text_config``.
        input_ids: ``(B, L)``.
    """
    if _is_bert(config):
        return TextReading(input_ids.new_zeros(input_ids.shape[0]), bert_words(config, input_ids))
    ends = _end_positions(config, input_ids)
    return TextReading(ends, torch.arange(input_ids.shape[1], device=ends.device) <= ends.unsqueeze(1))


def text_mask(config: Any, states: Tensor, words: Tensor) -> dict[str, Any]:
    """What each layer takes beside its states: in CLIP a token looks back only, in BERT at all words.

    Args:
        config: the ``text_config``.
        states: ``(B, L, C)``.
        words: which tokens are no padding, ``(B, L)`` bool.
    """
    if _is_bert(config):
        return {"mask": bert_mask(config, states, words), "is_causal": False}
    mask = create_causal_mask(config, states, None, None)  # no padding mask and no cache, whose name has changed
    return {"mask": mask, "is_causal": True}


def _is_bert(config: Any) -> bool:
    return getattr(config, "encoder", "clip") == "bert"


def _end_positions(config: Any, input_ids: Tensor) -> Tensor:
    """Index of the end-of-text token in each row, found as transformers' pooling finds it."""
    if config.eos_token_id == 2:  # files older than transformers 4.31 hold no ids; there the highest one ends a text
        return input_ids.argmax(-1)
    return (input_ids == config.eos_token_id).int().argmax(-1)
