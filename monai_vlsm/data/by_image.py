# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records of one image next to each other, so that a network encodes the image once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import Sampler

__all__ = ["ImageSampler", "image_batches", "records_by_image"]

Records = Sequence[Mapping[str, Any]]


def records_by_image(records: Records) -> list[list[int]]:
    """Indices of the records of each image, the images in the order in which they first come.

    Args:
        records: what `load_datalist` returned; the path at ``image`` tells images apart.
    """
    found: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        found.setdefault(str(record["image"]), []).append(index)
    return list(found.values())


def image_batches(records: Records, at_most: int = 16) -> list[list[int]]:
    """Batches of one image each, for ``DataLoader(batch_sampler=...)``: images of any size can be batched so.

    Args:
        records: see `records_by_image`.
        at_most: how many records of an image a batch holds.
    """
    groups = records_by_image(records)
    return [group[start : start + at_most] for group in groups for start in range(0, len(group), at_most)]


class ImageSampler(Sampler[int]):
    """Images in random order, the records of each one after the other.

    Draws from torch's global generator, so :class:`monai_vlsm.handlers.EpochSeed` decides the order of an epoch.

    Args:
        records: see `records_by_image`.
    """

    def __init__(self, records: Records) -> None:
        self.groups = records_by_image(records)

    def __len__(self) -> int:
        """How many records there are."""
        return sum(map(len, self.groups))

    def __iter__(self) -> Iterator[int]:
        """Indices of all records."""
        for place in torch.randperm(len(self.groups)).tolist():
            yield from self.groups[place]
