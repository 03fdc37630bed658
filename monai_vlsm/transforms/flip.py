# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Augmentation that moves things: flips that exchange sides in the prompts, deformations that leave places as they are.

Both change image and masks together, and do nothing where a prompt would no longer be true of the image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import Flip, MapTransform, Randomizable
from torch import Tensor

from monai_vlsm.prompts import FLIPS, FlipWords, mask_words
from monai_vlsm.transforms.naming import record_name

__all__ = [
    "SMALL_ANGLE",
    "KeepPlacesD",
    "KeepPlacesDict",
    "KeepPlacesd",
    "RandFlipPromptsD",
    "RandFlipPromptsDict",
    "RandFlipPromptsd",
]

SMALL_ANGLE = 15.0
"""Largest rotation in degrees with which an image may keep a prompt that names a side: "left" still is left."""

FlipTable = Mapping[str, Mapping[str, str]]
_OURS = FlipWords()  # those of the places that masks are described by


class RandFlipPromptsd(Randomizable, MapTransform):
    """Flip image and masks, and exchange the sides in the prompts: "top left" becomes "top right".

    An image is flipped with all its prompts, or, where one of them names a side that cannot be exchanged
    (`monai_vlsm.prompts.FlipWords`), not at all. Places that our own rules give the flipped masks are those of the
    exchanged prompts; a part that lies on the border of two fields, so that they would not be, keeps its image as it
    is. All draws come from ``self.R``, so the same seed gives the same flips, in worker processes too.

    Use it behind `RandSelectPromptd` and before `TokenizePromptd`.

    Args:
        keys: keys of image and masks, ``(C, H, W)``.
        prob: probability of each flip.
        flips: one of `monai_vlsm.prompts.FLIPS`, "both" or "none".
        words: see `monai_vlsm.prompts.FlipWords`.
        prompt_key: key of the chosen prompt, a text or K texts.
        label_key: key of the masks.

    Raises:
        ValueError: a probability outside 0 to 1, or an unknown flip.
        FlipWordsError: (a ValueError) words that cannot change places.
    """

    def __init__(
        self,
        keys: KeysCollection = ("image", "label"),
        prob: float = 0.5,
        flips: str = "horizontal",
        words: FlipTable | None = None,
        prompt_key: Hashable = "prompt",
        label_key: Hashable = "label",
    ) -> None:
        MapTransform.__init__(self, keys)
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must be from 0 to 1, got {prob}")
        if flips not in (*FLIPS, "both", "none"):
            raise ValueError(f"flips must be one of {', '.join(FLIPS)}, both, none, got {flips!r}")
        self.prob, self.words = prob, FlipWords(words)
        self.flips = [one for one in FLIPS if flips in (one, "both")]
        self.prompt_key, self.label_key = prompt_key, label_key
        self._drawn: list[str] = []

    def randomize(self, data: Any = None) -> None:
        """Draw which flips are tried."""
        self._drawn = [flip for flip in self.flips if self.R.random_sample() < self.prob]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The record, flipped or as it was; the values that were given stay.

        Raises:
            TypeError: a prompt that is not chosen yet.
        """
        d = dict(data)
        self.randomize()
        for flip in self._drawn:
            d = self._flipped(d, flip)
        return d

    def _flipped(self, d: dict[Hashable, Any], flip: str) -> dict[Hashable, Any]:
        texts = texts_of_record(d, self.prompt_key)
        exchanged = [self.words.flipped(text, flip) for text in texts]
        if None in exchanged:
            return d
        turn = Flip(spatial_axis=1 if flip == "horizontal" else 0)
        turned = {**d, **{key: turn(d[key]) for key in self.key_iterator(d)}}
        named = [self.words.names_places(text) for text in texts]
        pairs = zip(masks_named(d, self.label_key, named), masks_named(turned, self.label_key, named), strict=True)
        if any(_places(before, flip) != _places(after) for before, after in pairs):
            return d
        if self.prompt_key in d:
            turned[self.prompt_key] = exchanged[0] if isinstance(d[self.prompt_key], str) else exchanged
        return turned


class KeepPlacesd(Randomizable, MapTransform):
    """Run a transform that moves what is in the image, and take its result only where the prompts stay true.

    Where a prompt names a side or place ("top left", "center", "left kidney"), its mask must lie in the same places of
    the image afterwards, by our own rules; an image with several prompts is changed with all of them or not at all.

    Args:
        transform: such as MONAI's ``RandAffined``, of image and masks together.
        rotation: largest angle in degrees that it rotates by. Above `SMALL_ANGLE` it is not run at all for prompts that
            name a side, since sides of the patient would be elsewhere.
        keys: keys of image and masks.
        words: see `monai_vlsm.prompts.FlipWords`.
        prompt_key: key of the chosen prompt, a text or K texts.
        label_key: key of the masks.

    Raises:
        ValueError: a rotation outside 0 to 180.
        FlipWordsError: (a ValueError) words that cannot change places.
    """

    def __init__(
        self,
        transform: Callable[[Mapping[Hashable, Any]], Mapping[Hashable, Any]],
        rotation: float = 0.0,
        keys: KeysCollection = ("image", "label"),
        words: FlipTable | None = None,
        prompt_key: Hashable = "prompt",
        label_key: Hashable = "label",
    ) -> None:
        MapTransform.__init__(self, keys)
        if not 0 <= rotation <= 180:
            raise ValueError(f"rotation must be from 0 to 180 degrees, got {rotation}")
        self.transform, self.rotation, self.words = transform, rotation, FlipWords(words)
        self.prompt_key, self.label_key = prompt_key, label_key

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> KeepPlacesd:
        """Seed this transform and the one that draws for it."""
        super().set_random_state(seed, state)
        inner: Any = self.transform
        if isinstance(inner, Randomizable):
            inner.set_random_state(seed=int(self.R.randint(2**32, dtype=np.uint32)))
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The record, changed or as it was.

        Raises:
            TypeError: a prompt that is not chosen yet.
        """
        d = dict(data)
        named = [self.words.names_places(text) for text in texts_of_record(d, self.prompt_key)]
        if any(named) and self.rotation > SMALL_ANGLE:
            return d
        moved = dict(self.transform(data))
        pairs = zip(masks_named(d, self.label_key, named), masks_named(moved, self.label_key, named), strict=True)
        return d if any(_places(before) != _places(after) for before, after in pairs) else moved


def texts_of_record(data: Mapping[Hashable, Any], key: Hashable) -> list[str]:
    """The chosen prompts of a record; none if it has none.

    Raises:
        TypeError: a prompt that is no text, or no list of texts.
    """
    prompt = data.get(key, [])
    texts = [prompt] if isinstance(prompt, str) else prompt
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise TypeError(
            f"record {record_name(data)!r}: prompt must be a text or a list of texts here, got "
            f"{type(prompt).__name__}; choose one with RandSelectPromptd first"
        )
    return list(texts)


def masks_named(data: Mapping[Hashable, Any], key: Hashable, named: Sequence[bool]) -> Iterator[Tensor]:
    """The masks ``(H, W)`` of the prompts that name places."""
    return (mask for mask, one in zip(data.get(key, ()), named, strict=False) if one)


def _places(mask: Tensor, flip: str = "") -> Counter[str]:
    """The places of the parts of a mask; those of the flipped one, as the prompt would say, with ``flip``."""
    location = mask_words(torch.as_tensor(mask).cpu().numpy() > 0.5)["location"]
    return Counter(str(_OURS.flipped(location, flip) if flip else location).split(", "))


RandFlipPromptsD = RandFlipPromptsDict = RandFlipPromptsd
KeepPlacesD = KeepPlacesDict = KeepPlacesd
