# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Some of the prompts of an image in each step of the training, present and absent ones."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable
from torch import Tensor

from monai_vlsm.transforms.select import TAGS_KEY

__all__ = ["RandDrawPromptsD", "RandDrawPromptsDict", "RandDrawPromptsd"]

STRUCTURE_KEY = "structure"
Table = Mapping[str, Any]


class RandDrawPromptsd(Randomizable, MapTransform):
    """Of the K prompts of an image up to ``at_most``, and among them a share that asks for what is not there.

    The drawn masks go on, ``(k, H, W)``; those of absent things are empty. Absent things are the prompt tables at
    ``"absent"`` (:func:`monai_vlsm.data.with_absent_prompts`), which is removed. Own prompts stay in their order, the
    absent ones stand behind them. A record with one prompt asks for an absent thing in its place. All draws come from
    ``self.R``, so the same seed gives the same prompts, in worker processes too.

    Use it behind `ResizeImaged`, so that a cache keeps all masks of the image, and before the styles are drawn, which
    then are those of present and absent things alike: a style must not tell which of them a prompt asks for.

    Args:
        keys: key of the prompts, one only: a table or text, or a list of K of them.
        at_most: how many of several prompts go on; None takes all K own ones, and absent ones beside them.
        share: of the prompts that go on, those of absent things, from 0 to 0.5; reached on average, where there are
            enough of them.
        label_key: key of the masks ``(K, H, W)``.
        absent_key: key of the tables.
        allow_missing_keys: leave records without a prompt as they are.

    Raises:
        ValueError: more than one key, ``at_most`` below 1, or a share outside 0 to 0.5.
    """

    def __init__(
        self,
        keys: KeysCollection = "prompt",
        *,
        at_most: int | None = None,
        share: float = 0.0,
        label_key: Hashable = "label",
        absent_key: Hashable = "absent",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"RandDrawPromptsd takes one key, got {self.keys}")
        if at_most is not None and at_most < 1:
            raise ValueError(f"at_most must be at least 1 or None, got {at_most}")
        if not 0 <= share <= 0.5:
            raise ValueError(f"share must be from 0 to 0.5, got {share}")
        self.at_most, self.share = at_most, share
        self.label_key, self.absent_key = label_key, absent_key
        self._own: list[int] = []
        self._others: list[int] = []

    def randomize(self, data: tuple[int, int, int | None]) -> None:
        """Draw which prompts go on.

        Args:
            data: how many prompts the image has, how many absent things there are, and how many prompts go on at most.
        """
        own, absent, at_most = data
        total = own / (1 - self.share)
        total = total if at_most is None else min(total, at_most)
        wanted = total * self.share
        others = min(absent, int(wanted) + int(self.R.random_sample() < wanted % 1)) if absent and wanted else 0
        kept = own if at_most is None else min(own, at_most - others)
        self._own = self._some(own, kept)
        self._others = self._some(absent, others)

    def _some(self, count: int, wanted: int) -> list[int]:
        if wanted == count:
            return list(range(count))
        return sorted(self.R.choice(count, wanted, replace=False).tolist())

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The record with the drawn prompts."""
        d = dict(data)
        absent = d.pop(self.absent_key, [])
        for key in self.key_iterator(d):
            several = isinstance(d[key], list | tuple)
            count = len(d[key]) if several else 1
            self.randomize((count, len(absent), self.at_most if several else 1))
            if self._others or len(self._own) < count:
                self._draw(d, key, [absent[index] for index in self._others], several)
        return d

    def _draw(self, d: dict[Hashable, Any], key: Hashable, others: Sequence[Table], several: bool) -> None:
        """Put the drawn ones in the place of all; the values that were given stay: a cache may hold them."""
        tags = d.get(TAGS_KEY)
        each = list(tags) if several and isinstance(tags, list | tuple) else [tags] * (len(d[key]) if several else 1)
        drawn = {key: [*self._kept(d[key], several), *others]}
        drawn[TAGS_KEY] = [*self._kept(each, True), *([None] * len(others))]
        if STRUCTURE_KEY in d:
            drawn[STRUCTURE_KEY] = [*self._kept(d[STRUCTURE_KEY], several), *map(_name, others)]
        d.update(drawn if several else {name: values[0] for name, values in drawn.items()})
        d[self.label_key] = _channels(d[self.label_key], self._own, len(others))

    def _kept(self, values: Any, several: bool) -> list[Any]:
        return [(values if several else [values])[index] for index in self._own]


def _name(table: Table) -> str:
    """The first prompt of a table, which names the thing."""
    first = next(iter(table.values()))
    return first if isinstance(first, str) else str(first[0])


def _channels(mask: Tensor, kept: Sequence[int], empty: int) -> Tensor:
    """Some channels of ``(K, H, W)``, with a number of empty ones behind them and the meta of the mask."""
    if not empty and len(kept) == len(mask):
        return mask
    plain = mask.as_tensor() if isinstance(mask, MetaTensor) else mask
    drawn = torch.cat([plain[list(kept)], plain.new_zeros((empty, *plain.shape[1:]))])
    return MetaTensor(drawn).copy_meta_from(mask) if isinstance(mask, MetaTensor) else drawn


RandDrawPromptsD = RandDrawPromptsDict = RandDrawPromptsd
