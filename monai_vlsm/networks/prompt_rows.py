# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of prompts: from the shapes that `PromptedNet.forward` takes to one row for each, as long as they must be."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from monai_vlsm.host import on_host

__all__ = ["check_length", "check_prompts", "one_row_per_prompt", "rows_of", "without_padding"]


def without_padding(input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Columns up to the longest text; all columns without a mask, while a graph is recorded, and of tokens on a GPU.

    A GPU would be waited for. `monai_vlsm.inferers.PromptInferer` cuts tokens before it sends them there.

    Args:
        input_ids: ``(B*K, L)``.
        attention_mask: ``(B*K, L)`` or None.
    """
    if attention_mask is None or torch.jit.is_tracing() or torch.compiler.is_compiling() or not on_host(attention_mask):
        return input_ids, attention_mask
    longest = int(attention_mask.sum(-1).max())
    return input_ids[:, :longest], attention_mask[:, :longest]


def one_row_per_prompt(tokens: Tensor, images: int) -> Tensor:
    """Tokens ``(B, L)``, ``(B, K, L)`` or ``(1, [K,] L)`` as ``(B*K, L)`` for B images."""
    if tokens.ndim == 2:
        tokens = tokens.unsqueeze(1)
    return tokens.expand(images, -1, -1).flatten(0, 1)


def check_prompts(input_ids: Tensor, images: int, prompt_index: Tensor | None, encoded: Any) -> None:
    """Check the shapes of what says which prompts B images have.

    Args:
        input_ids: must be ``(B, L)``, ``(B, K, L)`` or ``(1, [K,] L)`` without ``prompt_index``.
        images: B.
        prompt_index: must be ``(B, K)``.
        encoded: texts that are encoded already; need ``prompt_index``.

    Raises:
        ValueError: another shape.
    """
    if prompt_index is not None:
        if prompt_index.ndim != 2 or prompt_index.shape[0] != images:
            found = tuple(prompt_index.shape)
            raise ValueError(f"prompt_index must be (B, K) for B = {images} images, got {found}")
    elif encoded is not None:
        raise ValueError("encoded texts need prompt_index (B, K): which of its rows the prompts of each image are")
    elif input_ids.ndim not in (2, 3) or input_ids.shape[0] not in (1, images):
        raise ValueError(
            f"input_ids must be (B, L), (B, K, L) or (1, L) for B = {images} images, got {tuple(input_ids.shape)}"
        )


def check_length(input_ids: Tensor, positions: int) -> None:
    """Check that texts fit a text encoder; not while a graph is recorded.

    Args:
        input_ids: ``(..., L)``.
        positions: how many tokens it knows the places of.

    Raises:
        ValueError: L is above that.
    """
    if not torch.jit.is_tracing() and input_ids.shape[-1] > positions:
        raise ValueError(
            f"a text of {input_ids.shape[-1]} tokens is longer than the {positions} positions of the text encoder; "
            "TokenizePromptd cuts texts to fit"
        )


def rows_of(features: Any, rows: Tensor) -> Any:
    """The given rows of a tensor, or of each tensor in a list or named tuple."""
    if isinstance(features, Tensor):
        return features.index_select(0, rows)
    if isinstance(features, list):
        return [part.index_select(0, rows) for part in features]
    return type(features)(*(None if part is None else part.index_select(0, rows) for part in features))
