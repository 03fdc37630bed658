# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Training with prompts of what is not there: the answer is an empty mask."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable, RandomizableTransform
from torch import Tensor

from monai_vlsm.prompts import CLASS
from monai_vlsm.transforms.naming import record_name

__all__ = [
    "RandAbsentPrompt",
    "RandAbsentPromptD",
    "RandAbsentPromptDict",
    "RandAbsentPromptd",
]

CLASS_STYLE = "p1"


class RandAbsentPrompt(RandomizableTransform):
    """With probability ``prob``, ask for something that is not in the image, and empty the mask.

    Of K structures of an image one is exchanged. All draws come from ``self.R``, so the same seed gives the same
    prompts, in worker processes too.

    Args:
        prob: probability, from 0 to 1.

    Raises:
        ValueError: another probability.
    """

    def __init__(self, prob: float) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must be from 0 to 1, got {prob}")
        RandomizableTransform.__init__(self, prob)
        self._text, self._channel = "", 0

    def randomize(self, data: tuple[Sequence[str], int]) -> None:
        """Draw whether to exchange, the text, and which of the structures.

        Args:
            data: the texts to draw from, and the number of structures.
        """
        super().randomize(None)
        texts, count = data
        if self._do_transform:
            self._text, self._channel = texts[self.R.randint(len(texts))], int(self.R.randint(count))

    def __call__(  # type: ignore[override]
        self, prompt: str | list[str], mask: Tensor, absent: Sequence[str]
    ) -> tuple[str | list[str], Tensor, int | None]:
        """Exchange a prompt, or leave it.

        Args:
            prompt: a text, or K texts.
            mask: ``(1, H, W)`` for a text, ``(K, H, W)`` for K texts.
            absent: texts that name things that are not in the image; without any, everything stays.

        Returns:
            prompt, mask, and the index of the structure that was exchanged, or None. The mask that was given stays as
            it is: a cache may hold it.
        """
        count = 1 if isinstance(prompt, str) else len(prompt)
        if not absent:
            return prompt, mask, None
        self.randomize((absent, count))
        if not self._do_transform:
            return prompt, mask, None
        kept = torch.arange(len(mask), device=mask.device) != self._channel
        emptied = mask * kept.view(-1, *[1] * (mask.ndim - 1))
        if isinstance(prompt, str):
            return self._text, emptied, 0
        return [self._text if i == self._channel else text for i, text in enumerate(prompt)], emptied, self._channel


class RandAbsentPromptd(Randomizable, MapTransform):
    """Dictionary version of :class:`RandAbsentPrompt`; after the prompt was chosen and before it becomes tokens.

    Takes the texts from ``"absent"`` (:func:`monai_vlsm.data.with_absent_prompts` puts them there) and removes that
    entry, since lists of different lengths cannot be batched. Records without it stay as they are. ``prompt_style`` and
    ``prompt_tag`` follow: the new prompt is a class prompt.

    Args:
        keys: key of the chosen prompt, one only.
        prob: probability, for a record that has something absent.
        label_key: key of the mask.
        absent_key: key of the texts.
        allow_missing_keys: leave records without a prompt as they are.

    Raises:
        ValueError: more than one key, or a probability outside 0 to 1.
    """

    def __init__(
        self,
        keys: KeysCollection = "prompt",
        *,
        prob: float,
        label_key: Hashable = "label",
        absent_key: Hashable = "absent",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if len(self.keys) != 1:
            raise ValueError(f"RandAbsentPromptd takes one key, got {self.keys}")
        self.exchange = RandAbsentPrompt(prob)
        self.label_key, self.absent_key = label_key, absent_key

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandAbsentPromptd:
        """Seed this transform and the array transform that draws for it."""
        super().set_random_state(seed, state)
        self.exchange.set_random_state(state=self.R)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Exchange the prompt and empty the mask, or leave both.

        Raises:
            TypeError: a prompt that is not chosen yet.
        """
        d = dict(data)
        absent = d.pop(self.absent_key, [])
        for key in self.key_iterator(d):
            texts = [d[key]] if isinstance(d[key], str) else d[key]
            if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
                found = f"record {record_name(d)!r}: prompt must be a text or a list of texts here"
                raise TypeError(f"{found}, got {type(d[key]).__name__}; choose one with RandSelectPromptd first")
            d[key], d[self.label_key], index = self.exchange(d[key], d[self.label_key], absent)
            if index is not None:
                for name, value in ((f"{key}_style", CLASS_STYLE), (f"{key}_tag", CLASS)):
                    d[name] = _replaced(d.get(name), index, value)
        return d


def _replaced(old: Any, index: int, value: str) -> Any:
    """``value`` in the place of a text, or of one of several."""
    return [value if i == index else one for i, one in enumerate(old)] if isinstance(old, list) else value


RandAbsentPromptD = RandAbsentPromptDict = RandAbsentPromptd
