# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images as a backbone wants them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform, NormalizeIntensity
from torch import Tensor

__all__ = ["NormalizeImageD", "NormalizeImageDict", "NormalizeImaged"]


class NormalizeImaged(MapTransform):
    """MONAI's ``NormalizeIntensityd`` with a mean and a deviation for red, green and blue, for several slices too.

    Args:
        keys: keys of the images: ``(3, ...)``, or ``(3 K, H, W)`` of K slices, one behind the other.
        mean: what is subtracted.
        std: what is divided by.
        allow_missing_keys: skip keys that a record lacks.
    """

    def __init__(
        self, keys: KeysCollection, mean: Sequence[float], std: Sequence[float], allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mean, self.std = list(mean), list(std)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Normalise each key."""
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self._normalized(d[key])
        return d

    def _normalized(self, image: Tensor) -> Any:
        slices = max(image.shape[0] // 3, 1)
        mean: Any = self.mean * slices
        std: Any = self.std * slices
        return NormalizeIntensity(mean, std, channel_wise=True)(image)


NormalizeImageD = NormalizeImageDict = NormalizeImaged
