# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Items of a batch without the prompts that only filled it up."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from monai_vlsm.data import MASK_KEYS, TOKEN_KEYS

__all__ = ["DropPaddedPromptsD", "DropPaddedPromptsDict", "DropPaddedPromptsd"]

TEXT_KEYS = ("prompt", "prompt_style", "prompt_tag", "structure")


class DropPaddedPromptsd(MapTransform):
    """Undo, for an item of a batch, what `monai_vlsm.data.collate_prompts` filled up; others stay as they are.

    Predictions, texts and tokens lose the rows whose attention mask is all zero, masks those that are -1 throughout.

    Args:
        keys: predictions ``(K, H, W)``.
        mask_key: key of the attention mask ``(K, L)``.
        allow_missing_keys: accept items without predictions.
    """

    def __init__(
        self, keys: KeysCollection = "pred", mask_key: str = "attention_mask", allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_key = mask_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The item with its own prompts only."""
        d, mask = dict(data), data.get(self.mask_key)
        if mask is None or mask.ndim != 2 or bool((asked := mask.any(-1).cpu()).all()):
            return d
        rows = asked.nonzero()[:, 0].tolist()
        for key in [*self.key_iterator(d), *(key for key in (*TOKEN_KEYS, *TEXT_KEYS) if key in d)]:
            d[key] = d[key][rows] if isinstance(d[key], Tensor) else _texts(d[key], rows)
        for key in (key for key in MASK_KEYS if key in d):
            d[key] = d[key][(torch.as_tensor(d[key]).flatten(1)[:, 0] >= 0).nonzero()[:, 0].tolist()]
        return d


def _texts(value: Any, rows: list[int]) -> Any:
    return [value[row] for row in rows] if isinstance(value, list | tuple) else value


DropPaddedPromptsD = DropPaddedPromptsDict = DropPaddedPromptsd
