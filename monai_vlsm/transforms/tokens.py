# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts to token ids."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Mapping
from pathlib import Path
from reprlib import repr as short
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.transforms.naming import record_name

__all__ = ["TokenizePrompt", "TokenizePromptD", "TokenizePromptDict", "TokenizePromptd"]

_NO_LIMIT, _CLIP = 10_000, 77  # a tokenizer without a limit has a huge one


class TokenizePrompt(Transform):
    """Text to token ids and attention mask, padded to one length with the tokenizer's pad token.

    A longer prompt is cut to ``max_length`` with the end-of-text token kept last (CLIP reads the sentence there); the
    transform warns of it once for each text. Each worker process of a data loader has its own transform, so it warns
    for itself.

    Args:
        tokenizer: a transformers tokenizer with an end-of-text and a pad token.
        max_length: number of tokens L. None takes that of the tokenizer: 77 for CLIP, 256 for BiomedCLIP.
        allow_empty: accept a text without any character (the paper's style p0).

    Raises:
        ValueError: ``max_length`` below 3, or a tokenizer without end-of-text or pad token.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int | None = None, allow_empty: bool = True
    ) -> None:
        if max_length is None:
            known = tokenizer.model_max_length < _NO_LIMIT
            max_length = tokenizer.model_max_length if known else _CLIP
        if max_length < 3:
            raise ValueError(f"max_length must be at least 3 (start, one token, end), got {max_length}")
        if tokenizer.eos_token_id is None or tokenizer.pad_token_id is None:
            raise ValueError(f"{type(tokenizer).__name__} has no end-of-text or no pad token; CLIP's has both")
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.allow_empty = allow_empty
        self._warned: set[str] = set()

    def __call__(self, prompt: str | list[str], name: str = "record") -> tuple[Tensor, Tensor]:
        """Tokenize one prompt or K prompts.

        Args:
            prompt: a text, or a list of K texts.
            name: name of the record, for errors and the warning.

        Returns:
            ids and mask (1 for text, 0 for padding), int64, each ``(L,)`` for a text and ``(K, L)`` for a list.

        Raises:
            TypeError: something that is not text; the message names the record, what was expected and what came.
            ValueError: an empty list, or an empty text where none is allowed.
        """
        if not isinstance(prompt, list | tuple):
            return self._pad(self._encode(prompt, name))
        if not prompt:
            raise ValueError(f"record {name!r}: prompt must be a text or a list of texts, got an empty list")
        rows = [self._pad(self._encode(text, name)) for text in prompt]
        return torch.stack([ids for ids, _ in rows]), torch.stack([mask for _, mask in rows])

    def _encode(self, text: Any, name: str) -> list[int]:
        """Token ids of one checked text, cut to ``max_length``."""
        if not isinstance(text, str):
            hint = "; choose one with SelectPromptd or RandSelectPromptd first" if isinstance(text, Mapping) else ""
            raise TypeError(f"record {name!r}: prompt must be text, got {type(text).__name__} ({short(text)}){hint}")
        if not self.allow_empty and not text.strip():
            raise ValueError(f"record {name!r}: prompt must not be empty here, got {text!r}")
        ids = self._all_ids(text)
        if len(ids) <= self.max_length:
            return ids
        if text not in self._warned:
            self._warned.add(text)
            warnings.warn(f"record {name!r}: prompt {short(text)}: {self._cut(ids)}", stacklevel=3)
        return [*ids[: self.max_length - 1], self.tokenizer.eos_token_id]

    def cut(self, text: str) -> str:
        """What is not read of a text, in a few words; empty where all of it is."""
        ids = self._all_ids(text)
        return self._cut(ids) if len(ids) > self.max_length else ""

    def _cut(self, ids: list[int]) -> str:
        return f"only the first {self.max_length} of its {len(ids)} tokens are read"

    def _all_ids(self, text: str) -> list[int]:
        # lone surrogates are legal in JSON, but no tokenizer takes them
        text = text.encode("utf-8", "replace").decode("utf-8")
        return list(self.tokenizer(text, truncation=False, verbose=False)["input_ids"])

    def _pad(self, ids: list[int]) -> tuple[Tensor, Tensor]:
        """Ids and mask as tensors ``(L,)``; padded here, as padding in a fast tokenizer changes its shared state."""
        padding = self.max_length - len(ids)
        mask = [1] * len(ids) + [0] * padding
        return torch.tensor(ids + [self.tokenizer.pad_token_id] * padding), torch.tensor(mask)


class TokenizePromptd(MapTransform):
    """Dictionary version of :class:`TokenizePrompt`: adds ``input_ids`` and ``attention_mask`` beside the prompt.

    Args:
        keys: key of the prompt, one only.
        tokenizer: a tokenizer, or the name or folder of a backbone that has one.
        max_length: number of tokens L; None takes that of the tokenizer.
        allow_empty: accept an empty prompt.
        default_prompt: prompt of records that have none (MONAI Label sends images alone); None makes that an error.
        ids_key: key for the token ids.
        mask_key: key for the attention mask.
        image_key: image whose file names the record when it has no name.
        name_key: key of the record's name.
        allow_missing_keys: leave records without a prompt as they are, when there is no default prompt.

    Raises:
        ValueError: more than one key.
    """

    def __init__(
        self,
        keys: KeysCollection = "prompt",
        *,
        tokenizer: PreTrainedTokenizerBase | str | Path,
        max_length: int | None = None,
        allow_empty: bool = True,
        default_prompt: str | list[str] | None = None,
        ids_key: str = "input_ids",
        mask_key: str = "attention_mask",
        image_key: Hashable = "image",
        name_key: Hashable = "name",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"TokenizePromptd takes one key, got {self.keys}; use one transform for each prompt")
        loaded = load_tokenizer(tokenizer) if isinstance(tokenizer, str | Path) else tokenizer
        self.tokenize = TokenizePrompt(loaded, max_length, allow_empty)
        self.default_prompt = default_prompt
        self.ids_key, self.mask_key = ids_key, mask_key
        self.image_key, self.name_key = image_key, name_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add ids and mask, ``(L,)`` or ``(K, L)``.

        Raises:
            ValueError: no prompt and no default, or an empty one where none is allowed.
            TypeError: a prompt that is not text.
        """
        d = dict(data)
        (key,) = self.keys
        name = record_name(d, self.name_key, self.image_key)
        if key not in d and self.default_prompt is not None:
            d[key] = self.default_prompt
        if key not in d:
            if self.allow_missing_keys:
                return d
            raise ValueError(f"record {name!r} has no {key!r}: give it one, or set default_prompt")
        d[self.ids_key], d[self.mask_key] = self.tokenize(d[key], name)
        return d


TokenizePromptD = TokenizePromptDict = TokenizePromptd
