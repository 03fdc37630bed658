# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images with different numbers of prompts in one batch: the others are filled up with prompts that are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from monai.data import MetaTensor, list_data_collate
from torch import Tensor

__all__ = ["MASK_KEYS", "NO_PROMPT", "TOKEN_KEYS", "collate_prompts"]

NO_PROMPT = -1
"""Value of all pixels of a mask that belongs to no prompt."""
MASK_KEYS = ("label", "target")
"""Masks ``(K, H, W)`` of an item."""
TOKEN_KEYS = ("input_ids", "attention_mask")
"""Tokens ``(K, L)`` of an item; a prompt whose attention mask is all zero is none."""


def collate_prompts(items: Sequence[Any]) -> Any:
    """MONAI's ``list_data_collate`` for items whose images have K prompts each, K of each image its own.

    Up to the largest K, tokens and attention masks are filled up with zeros, masks with `NO_PROMPT`, and lists, as of
    texts, with empty texts. The inferer, the loss and the postprocessing leave such prompts out. Items with one prompt,
    or with as many each, are batched as MONAI does.

    Args:
        items: what a data set gave, dicts as a rule.
    """
    counts = {len(item["prompt"]) for item in items if _has_prompts(item)}
    return list_data_collate([_padded(item, max(counts)) for item in items] if len(counts) > 1 else items)


def _has_prompts(item: Any) -> bool:
    return isinstance(item, Mapping) and isinstance(item.get("prompt"), list | tuple)


def _padded(item: Mapping[str, Any], count: int) -> dict[str, Any]:
    missing = count - len(item["prompt"])
    return {key: _filled(key, value, missing) for key, value in item.items()} if missing else dict(item)


def _filled(key: str, value: Any, missing: int) -> Any:
    if isinstance(value, list | tuple):
        return [*value, *[""] * missing]
    if key not in (*MASK_KEYS, *TOKEN_KEYS):
        return value
    plain = value.as_tensor() if isinstance(value, MetaTensor) else value
    more = plain.new_full((missing, *plain.shape[1:]), NO_PROMPT if key in MASK_KEYS else 0)
    filled: Tensor = torch.cat([plain, more])
    return MetaTensor(filled).copy_meta_from(value) if isinstance(value, MetaTensor) else filled
