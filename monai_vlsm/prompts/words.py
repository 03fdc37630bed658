# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Numbers in words, and the known words that an error lists."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["EVERYDAY", "known_words", "number_word"]

EVERYDAY = (
    *("apple", "armchair", "bicycle", "bird", "boat", "book", "bridge", "car", "carpet", "castle", "chair", "church"),
    *("cloud", "dog", "door", "elephant", "fence", "fish", "flower", "garden", "guitar", "hammer", "horse", "house"),
    *("lamp", "lorry", "mountain", "piano", "river", "road", "shoe", "spoon", "train", "tree", "umbrella", "window"),
)
"""Names of things that no medical image shows: what a network can be asked for in vain, whatever the data."""

_SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TEENS = ("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def number_word(number: int) -> str:
    """``0`` to ``99`` in English words (``"seventy-three"``), more in digits.

    Raises:
        ValueError: a number below zero.
    """
    if number < 0:
        raise ValueError(f"number must not be below 0, got {number}")
    if number < 20:
        return (_SMALL + _TEENS)[number]
    if number > 99:
        return str(number)
    tens, ones = divmod(number, 10)
    return _TENS[tens - 2] + (f"-{_SMALL[ones]}" if ones else "")


def known_words(word: str, known: Iterable[str]) -> str:
    """The end of an error about an unknown word: the most similar of the known ones, if any, then all of them."""
    words = list(known)
    similar = get_close_matches(word, words, n=1)
    return f"{f' (did you mean {similar[0]!r}?)' if similar else ''}; known: {', '.join(words)}"
