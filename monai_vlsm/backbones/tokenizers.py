# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tokenizers of the backbones: CLIP's, or the one that BERT was trained with."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from transformers import BertTokenizer, CLIPTokenizer, PreTrainedTokenizerBase

from monai_vlsm.backbones.catalogue import (
    backbone_source,
    load_architecture,
    not_available,
    own_architectures,
    raw_config,
)
from monai_vlsm.backbones.waiting import bound_waiting

__all__ = ["load_tokenizer", "prompt_ids"]

_CLIP_VOCABULARY, _CLIP_CONTEXT = 49408, 77


@lru_cache(maxsize=8)
def load_tokenizer(backbone: str | Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a backbone from its folder, the Hugging Face cache or the Hub.

    Its ``model_max_length`` is the number of tokens that the text encoder was trained with, and its tokens at the begin
    and end of a text are ``bos_token`` and ``eos_token``, also where BERT calls them otherwise.

    Raises:
        BackboneNotFoundError: when it cannot be had; the error says how to get it.
    """
    if (other := _tokenizer_of(backbone)) is not None:
        return load_tokenizer(other)
    source, text = backbone_source(backbone), _text_config(backbone)
    bound_waiting()
    kind: Any = BertTokenizer if text.get("encoder") == "bert" else CLIPTokenizer
    try:
        tokenizer = kind.from_pretrained(source, local_files_only=Path(source).is_dir())
    except (OSError, ValueError) as error:
        raise not_available("tokenizer", source) from error
    if len(tokenizer) != text.get("vocab_size", _CLIP_VOCABULARY):
        # transformers 5 returns a tokenizer without words when vocab.json and merges.txt are missing
        raise not_available("tokenizer", source)
    tokenizer.model_max_length = text.get("context_length") or text.get("max_position_embeddings", _CLIP_CONTEXT)
    if kind is BertTokenizer:
        tokenizer.bos_token, tokenizer.eos_token = tokenizer.cls_token, tokenizer.sep_token
    loaded: PreTrainedTokenizerBase = tokenizer
    return loaded


def prompt_ids(backbone: str | Path, prompt: str) -> list[int]:
    """Token ids of one prompt, with begin and end, without padding. The empty prompt needs no tokenizer at hand.

    Raises:
        BackboneNotFoundError: when the tokenizer is needed and cannot be had.
    """
    if (other := _tokenizer_of(backbone)) is not None:
        return prompt_ids(other, prompt)
    if prompt == "":
        text = _text_config(backbone)
        if text.get("eos_token_id") not in (None, 2):  # 2: files older than transformers 4.31 hold no ids
            return [text["bos_token_id"], text["eos_token_id"]]
    ids: list[int] = load_tokenizer(backbone)(prompt, truncation=True).input_ids
    return ids


def _tokenizer_of(backbone: str | Path) -> str | None:
    """The backbone whose tokenizer a network other than CLIPSeg uses."""
    if str(backbone) not in own_architectures():
        return None
    tokenizer: str = load_architecture(backbone)["tokenizer"]
    return tokenizer


def _text_config(backbone: str | Path) -> dict[str, Any]:
    text: dict[str, Any] = raw_config(backbone).get("text_config") or {}
    return text
