# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""How SAN lets a frozen CLIP recognise mask proposals: copies of the class token with attention biases."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d, max_pool2d

__all__ = ["attention_mask_of_biases", "recognise_proposals"]


def recognise_proposals(layers: Iterable[nn.Module], tokens: Tensor, biases: Tensor, grid: tuple[int, int]) -> Tensor:
    """Run CLIP's last layers with one copy of the class token for each proposal (SAN's [SLS] tokens).

    A copy is attended by nothing but itself, and attends to itself and the patches, with the bias of its proposal added
    to the scores. So CLIP's own tokens stay what they are, and the copies do not see each other.

    Args:
        layers: CLIP's last encoder layers.
        tokens: what goes into the first of them, ``(B, 1 + N, C)``, the class token first.
        biases: ``(B, heads, Q, h, w)`` on any grid.
        grid: rows and columns of CLIP's patches, N in all.

    Returns:
        The copies after the last layer, ``(B, Q, C)``.
    """
    queries = biases.shape[2]
    mask = attention_mask_of_biases(biases, grid)
    tokens = torch.cat([tokens[:, :1].expand(-1, queries, -1), tokens], dim=1)
    for layer in layers:
        tokens = layer(tokens, attention_mask=mask)
    return tokens[:, :queries]


def attention_mask_of_biases(biases: Tensor, grid: tuple[int, int]) -> Tensor:
    """The numbers to add to attention scores between copies, class token and patches, in this order.

    Args:
        biases: ``(B, heads, Q, h, w)``.
        grid: rows and columns of CLIP's patches. Of the biases that fall on a patch it takes the largest.

    Returns:
        ``(B, heads, Q + 1 + N, Q + 1 + N)``, rows attend to columns; minus infinity where a token does not look.
    """
    queries = biases.shape[2]
    resized = _largest(biases.flatten(1, 2), grid).reshape(*biases.shape[:3], -1)
    places = torch.arange(queries + 1, device=biases.device)  # in place of torch.eye, which onnxruntime cannot run
    others = places[:queries, None] != places
    blind = biases.new_zeros(queries, queries + 1).masked_fill(others, -torch.inf)
    copies = torch.cat([blind.expand(*biases.shape[:2], -1, -1), resized], dim=-1)
    own = biases.new_zeros(resized.shape[-1] + 1, copies.shape[-1])
    own[:, :queries] = -torch.inf
    return torch.cat([copies, own.expand(*biases.shape[:2], -1, -1)], dim=-2)


def _largest(maps: Tensor, grid: tuple[int, int]) -> Tensor:
    """Largest value in each cell of a grid, ``(B, C, h, w)`` to ``(B, C, *grid)``."""
    height, width = (int(side) for side in maps.shape[-2:])
    if height % grid[0] == 0 and width % grid[1] == 0:  # the same numbers, and ONNX has no adaptive pooling
        return max_pool2d(maps, (height // grid[0], width // grid[1]))
    return adaptive_max_pool2d(maps, grid)
