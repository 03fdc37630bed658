# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Products block by block: of so few rows that what lies between two products stays in the processor's caches."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 512
"""Rows of a block. oneDNN in torch 2.13 is faster on bfloat16 rows of 3,072 when there are not many more of them."""


def row_blocks(matrix: Tensor, rows: int = ROWS) -> tuple[Tensor, ...]:
    """Views of ``(M, K)`` of nearly equal height, with at most ``rows`` rows each."""
    return matrix.tensor_split(max(1, -(-matrix.shape[0] // rows)))


def product_by_rows(left: Tensor, right: Tensor) -> Tensor:
    """``left @ right`` for ``(M, K)`` and ``(K, N)``."""
    product = left.new_empty(left.shape[0], right.shape[1])
    for block, part in zip(row_blocks(left), row_blocks(product), strict=True):
        torch.mm(block, right, out=part)
    return product
