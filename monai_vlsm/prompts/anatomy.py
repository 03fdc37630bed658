# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Plain words from the names that label tables give to classes."""

from __future__ import annotations

import re

__all__ = ["is_number", "plain_words"]

_SIDES = {"left": "left", "right": "right", "l": "left", "r": "right", "lt": "left", "rt": "right"}
_LEVEL = re.compile(r"(?i)[ctls]\d{1,2}")  # of the spine
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z]{2})")
_BETWEEN = re.compile(r"[\s_()\[\],;]+|(?<=\w)\.(?=\s|_|$)")
_LOBES = ("upper", "middle", "lower")
_SAID = {"clavicula": "clavicle", "iliac vena": "iliac vein", "autochthon": "autochthonous muscle of the back"}
_SHORT = 3  # letters of an abbreviation in capitals, such as GTV, that stays as it is
_NUMBER = re.compile(r"(?i)((label|class|roi|structure|segment|value|id)?[\s_#-]*\d+)|unnamed|unknown|none|")


def is_number(name: str) -> bool:
    """Whether a name says nothing but a number: ``"7"``, ``"label 7"``, or nothing at all."""
    return bool(_NUMBER.fullmatch(name.strip()))


def plain_words(name: str) -> str:
    """A class as somebody would say it, with the side in front.

    ``kidney_left``, ``LeftKidney``, ``L kidney`` and ``kidney (L)`` become "left kidney", ``vertebrae_L5`` "vertebra
    L5", ``lung_upper_lobe_right`` "right upper lobe of the lung". Words that are not known stay as they are.

    Args:
        name: as in a table of labels.
    """
    words = [_lower(word) for word in _words(name)]
    sides = list(dict.fromkeys(_SIDES[word.lower()] for word in words if word.lower() in _SIDES))
    rest = [word for word in words if word.lower() not in _SIDES]
    if len(sides) != 1 or not rest:  # both sides, or none
        return " ".join(_phrase(words))
    return " ".join([*sides, *_phrase(rest)])


def _words(name: str) -> list[str]:
    parts = [part for part in _BETWEEN.split(_CAMEL.sub(" ", name.strip())) if part]
    return [word for part in parts for word in _apart(part)]


def _apart(part: str) -> list[str]:
    """The words on either side of a hyphen where one of them is a side; else it joins them, as in non-enhancing."""
    halves = part.split("-")
    return [half for half in halves if half] if any(half.lower() in _SIDES for half in halves) else [part]


def _lower(word: str) -> str:
    """In small letters, but for abbreviations and levels of the spine."""
    if _LEVEL.fullmatch(word):
        return word.upper()
    short = word.isupper() and len(word) <= _SHORT
    return word if short or word[1:] not in (word[1:].lower(), word[1:].upper()) else word.lower()


def _phrase(words: list[str]) -> list[str]:
    """The words without sides in the order of a sentence."""
    if words[:1] in (["vertebrae"], ["vertebra"]) and len(words) == 2 and _LEVEL.fullmatch(words[1]):
        return ["vertebra", words[1]]
    if len(words) == 3 and words[1] in _LOBES and words[2] == "lobe":
        return [words[1], "lobe of the", words[0]]
    if len(words) == 2 and words[0] == "heart":
        return [words[1], "of the heart"]
    text = " ".join(words)
    return [_SAID.get(text, text)]
