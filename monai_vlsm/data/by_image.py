# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records of one image next to each other, so that a network encodes the image once for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from monai.data import MetaTensor
from torch import Tensor
from torch.utils.data import Sampler

from monai_vlsm.data.padding import collate_prompts
from monai_vlsm.host import send

__all__ = [
    "IMAGE_ROWS",
    "ImageSampler",
    "collate_by_image",
    "distinct_rows",
    "image_batches",
    "records_by_image",
    "without_repeats",
]

IMAGE_ROWS = "image_index"
"""Key of a batch with `distinct_rows` of its images, known before they are sent to a device."""

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


def distinct_rows(images: Sequence[Tensor]) -> Tensor:
    """For each of B images its row among those that are left when one that equals the one before is left out.

    Args:
        images: on the CPU; B images, or one tensor of all.

    Returns:
        ``(B,)``, from 0.
    """
    plain = [one.as_tensor() if isinstance(one, MetaTensor) else one for one in images]
    return torch.tensor([0, *(int(not torch.equal(*pair)) for pair in pairwise(plain))]).cumsum(0)


def without_repeats(image: Tensor, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Images of a batch without those that equal the one before, and for each of the batch its row there.

    Args:
        image: ``(B, 3, S, S)``, on any device.
        rows: their `distinct_rows`; None compares them where they are, and a GPU is waited for.

    Returns:
        ``(V, 3, S, S)`` and ``(B,)``, on the device of the images.
    """
    if rows is None:
        new = torch.ones(image.shape[0], dtype=torch.bool, device=image.device)
        new[1:] = (image[1:] != image[:-1]).flatten(1).any(1)
        return image[new], new.cumsum(0) - 1
    first = rows.diff(prepend=rows.new_tensor([-1])).nonzero()[:, 0]
    return image.index_select(0, send(first, image.device)), send(rows, image.device)


def collate_by_image(items: Sequence[Any]) -> Any:
    """`collate_prompts`, and at `IMAGE_ROWS` which of the images are the same: here, where nobody waits for it.

    Args:
        items: what a data set gave; dicts with a tensor ``image``, others are only batched.
    """
    batch, given = collate_prompts(items), [one.get("image") for one in items if isinstance(one, Mapping)]
    images = [one for one in given if isinstance(one, Tensor)]
    return {**batch, IMAGE_ROWS: distinct_rows(images)} if images and len(images) == len(items) else batch
