# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Slices of a volume with their neighbours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

__all__ = ["with_neighbours"]


def with_neighbours(chunks: Iterable[Tensor], reach: int) -> Iterator[Tensor]:
    """Each slice of a volume between its neighbours; the first and the last are repeated beyond the ends.

    No more is kept than a chunk and the slices around it.

    Args:
        chunks: the slices in their order, some at a time: ``(n, ...)``.
        reach: how many neighbours on either side.

    Yields:
        Views ``(m, 2 reach + 1, ...)`` of consecutive slices, as soon as their neighbours are there.
    """
    kept: Tensor | None = None
    for chunk in chunks:
        before = chunk[:1].expand(reach, *chunk.shape[1:]) if kept is None else kept
        kept = torch.cat([before, chunk])
        ready = len(kept) - 2 * reach
        if ready > 0:
            yield kept.unfold(0, 2 * reach + 1, 1).movedim(-1, 1)
            kept = kept[ready:]
    if kept is not None and reach:
        kept = torch.cat([kept, kept[-1:].expand(reach, *kept.shape[1:])])
        yield kept.unfold(0, 2 * reach + 1, 1).movedim(-1, 1)
