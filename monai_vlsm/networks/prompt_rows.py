# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of prompts: from the shapes that `PromptedNet.forward` takes to one row for each, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["check_index", "one_row_per_prompt", "rows_of", "without_padding"]


def without_padding(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Columns up to the longest text, if the mask is on the CPU and no graph is recorded; else all columns.

    A GPU would have to be waited for to learn the length; `monai_vlsm.engines.PreparePromptBatch` cuts before.

    Args:
        input_ids: ``(B*K, L)``.
        attention_mask: ``(B*K, L)`` or None.
    """
    recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()
    if attention_mask is None or recorded or attention_mask.device.type != "cpu":
        return input_ids
    return input_ids[:, : int(attention_mask.sum(-1).max())]


def one_row_per_prompt(tokens: Tensor, images: int) -> Tensor:
    """Tokens ``(B, L)``, ``(B, K, L)`` or ``(1, [K,] L)`` as ``(B*K, L)`` for B images."""
    if tokens.ndim == 2:
        tokens = tokens.unsqueeze(1)
    return tokens.expand(images, -1, -1).flatten(0, 1)


def check_index(index: Tensor, images: int, rows: int) -> None:
    """Check which rows of U prompts are meant.

    Args:
        index: must be ``(B, K)``.
        images: B.
        rows: U, for the message.

    Raises:
        ValueError: another shape.
    """
    if index.ndim != 2 or index.shape[0] != images:
        raise ValueError(
            f"prompt_index must be (B, K) for B = {images} images and {rows} prompts, got {tuple(index.shape)}"
        )


def rows_of(features: Any, rows: Tensor) -> Any:
    """The given rows of a tensor, or of each tensor in a list or named tuple."""
    if isinstance(features, Tensor):
        return features.index_select(0, rows)
    if isinstance(features, list):
        return [part.index_select(0, rows) for part in features]
    return type(features)(*(None if part is None else part.index_select(0, rows) for part in features))
