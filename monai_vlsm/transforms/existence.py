# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Is it there at all? A score for each prompt from the probabilities of its pixels, and no mask below a threshold."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

__all__ = ["ExistenceScoreD", "ExistenceScoreDict", "ExistenceScored", "existence_scores"]

TOP_SHARE = 0.005


def existence_scores(probabilities: Tensor, share: float = TOP_SHARE) -> Tensor:
    """Mean probability of the most probable pixels of each prompt, a number from 0 to 1.

    The most probable 0.5 % of an image are about as many pixels as the smallest structures have (in BUSI one mask in
    twenty covers less than 0.6 %). So the score does not grow with the size of a structure, as the mean over the
    image would, and does not hang on one pixel, as the largest value would. See docs/absent.md.

    Args:
        probabilities: ``(K, H, W)``, or ``(K, H, W, D)`` with D slices, at the size of the network.
        share: share of the pixels, at least one pixel is taken.

    Returns:
        ``(K,)``, or ``(K, D)``: a score for each slice.
    """
    pixels = probabilities.flatten(1, 2)
    count = max(1, round(share * pixels.shape[1]))
    return pixels.topk(count, dim=1).values.mean(dim=1)


class ExistenceScored(MapTransform):
    """Add the existence score of each prompt, and empty the masks whose score is below a threshold.

    Use it on probabilities at the size of the network, before the resize is inverted: the score must not depend on the
    size of the original. In a volume each slice is an image to the network, so slices below the threshold are emptied
    one by one; the score of the volume is that of its best slice.

    Args:
        keys: key of the probabilities, one only: ``(K, H, W)`` or ``(K, H, W, D)``.
        threshold: least score of a mask; 0 empties none.
        existence_key: key for the scores, a list of K numbers.
        allow_missing_keys: leave records without probabilities as they are.

    Raises:
        ValueError: more than one key, or a threshold outside 0 to 1.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        threshold: float = 0.0,
        existence_key: str = "existence",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"ExistenceScored takes one key, got {self.keys}")
        if not 0 <= threshold <= 1:
            raise ValueError(f"existence_threshold must be from 0 to 1, got {threshold}")
        self.threshold, self.existence_key = threshold, existence_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Add the scores and empty what is below the threshold."""
        d = dict(data)
        for key in self.key_iterator(d):
            found: Tensor = d[key]
            scores = existence_scores(found.as_tensor() if isinstance(found, MetaTensor) else found)
            kept = scores >= self.threshold
            if not kept.all():
                d[key] = found * kept.view(len(found), 1, 1, *kept.shape[1:])
            d[self.existence_key] = (scores.amax(dim=1) if scores.ndim == 2 else scores).tolist()
        return d


ExistenceScoreD = ExistenceScoreDict = ExistenceScored
