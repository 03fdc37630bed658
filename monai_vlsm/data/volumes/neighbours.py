# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Slices of a volume with their neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

__all__ = ["EncodedSlices", "in_channels", "middle_slice", "with_neighbours"]


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


def in_channels(near: Tensor, attend: bool) -> Tensor:
    """Slices between their neighbours as the images that a network takes.

    Args:
        near: ``(n, K, 3, H, W)``, as from `with_neighbours`.
        attend: whether the slices attend to one another; else the outermost two are red and blue, and the middle green.

    Returns:
        ``(n, 3 K, H, W)``, else ``(n, 3, H, W)``.
    """
    if attend:
        return near.flatten(1, 2)
    reach = near.shape[1] // 2
    return torch.stack([near[:, reach * place, place] for place in range(3)], dim=1)


def middle_slice(image: Any) -> Any:
    """The slice itself of an image ``(3 K, H, W)`` that holds its neighbours too: ``(3, H, W)``; others as they are."""
    slices = image.shape[0] // 3
    return image[slices // 2 * 3 :][:3] if slices > 1 else image


class EncodedSlices:
    """Encodes a slice once that comes in several rows, as itself and as a neighbour.

    Args:
        keep: whether the last row is known in the next call too, for a volume that comes in several batches. The
            weights of a network must not change between calls then.
    """

    def __init__(self, keep: bool = False) -> None:
        self.keep = keep
        self._last: tuple[Any, Tensor, Tensor] | None = None

    def __call__(self, rows: Tensor, encode: Callable[[Tensor], Tensor], who: Any = None) -> Tensor:
        """Encode.

        Args:
            rows: ``(B, K, 3, H, W)``, each a slice between its neighbours.
            encode: ``(n, 3, H, W)`` to ``(n, ...)``.
            who: what encodes; what another one made is not taken.

        Returns:
            ``(B, K, ...)``.
        """
        pixels, states = self._known(who, rows)
        counts = _new_slices(torch.cat([pixels, rows]))[len(pixels) :]
        fresh = [row[len(row) - count :] for row, count in zip(rows, counts, strict=True) if count]
        found = [*states, *([encode(torch.cat(fresh))] if fresh else [])]
        ends = torch.tensor(counts).cumsum(0) + sum(len(one) for one in states)
        places = ends[:, None] - rows.shape[1] + torch.arange(rows.shape[1])
        encoded = torch.cat(found)[places.to(rows.device)]
        if self.keep:
            self._last = (who, rows[-1:], encoded[-1])
        return encoded

    def _known(self, who: Any, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The row of before, ``(1, K, 3, H, W)``, and what it became; nothing where there is none of this kind."""
        if self._last is not None:
            maker, pixels, states = self._last
            if maker is who and pixels.shape[1:] == rows.shape[1:] and pixels.device == rows.device:
                return pixels, [states]
        return rows[:0], []


def _new_slices(rows: Tensor) -> list[int]:
    """How many slices of each row are not those of the row before: none, the last, or all."""
    count = rows.shape[1]
    same = (rows[1:] == rows[:-1]).flatten(1).all(1)
    next_one = (rows[1:, :-1] == rows[:-1, 1:]).flatten(1).all(1)
    return [count, *torch.where(same, 0, torch.where(next_one, 1, count)).tolist()]
