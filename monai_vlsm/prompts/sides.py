# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a prompt says when its image is flipped: "left" and "right" change places, where they mean places of the image.

A word such as "left" is a place of the image only where nothing stands beside it that it could belong to: behind "at
the" and the like, alone, in "top left" and the like, or before "of the image". Everywhere else ("left kidney",
"kidney, left", "kidney_left", "left-sided", "patient's left") it is, or may be, a side of the patient,
which a flipped image does not exchange: such a prompt cannot be flipped, nor can one in a script that no declared word
is in. Words inside words ("leftover", "bright") are no sides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from monai_vlsm.errors import UserError
from monai_vlsm.prompts.rules import LOCATIONS

__all__ = ["FLIPS", "FLIP_WORDS", "FlipWords", "FlipWordsError"]

FLIPS = ("horizontal", "vertical")
"""Flips: which exchanges left and right, and which exchanges top and bottom."""

FLIP_WORDS: dict[str, dict[str, str]] = {
    "horizontal": {LOCATIONS[1][0]: LOCATIONS[1][2]},
    "vertical": {LOCATIONS[0][1]: LOCATIONS[2][1]},
}
"""For each flip the words that change places: those of the nine places that masks are described by."""

_BOTH = {"anterior", "posterior", "ventral", "dorsal", "clock", "clockwise", "counterclockwise", "anticlockwise"}
_BOTH |= {"anteriorly", "posteriorly", "ventrally", "dorsally", "oclock"}
_BOTH |= {"rul", "rml", "rll", "lul", "lll", "ruq", "luq", "rlq", "llq"}  # lobes and quadrants
_BOTH |= {vertical + side for vertical in ("top", "bottom", "upper", "lower") for side in ("left", "right")}
_SIDES = {  # words that a flip makes wrong, and that are not exchanged unless they are declared
    "horizontal": _BOTH
    | {"left", "right", "leftmost", "rightmost", "leftward", "rightward", "leftwards", "rightwards"}
    | {"lefthand", "righthand", "leftsided", "rightsided", "dexter", "dextra", "sinister", "sinistra"}
    | {"l", "r", "lt", "rt", "lv", "rv", "east", "west", "eastern", "western"},
    "vertical": _BOTH
    | {"top", "bottom", "upper", "lower", "topmost", "bottommost", "uppermost", "lowermost", "above", "below"}
    | {"underneath", "beneath", "upward", "downward"}  # "follow-up", "higher contrast", "under the skin" are none
    | {"superior", "inferior", "cranial", "caudal", "superiorly", "inferiorly", "cranially", "caudally"}
    | {"north", "south", "northern", "southern"},
}
_MIDDLE = {"center", "centre", "middle", "central"}
_OF_IMAGES = {"top", "bottom", "center", "centre"}  # "upper left" may be a side of the patient, "top left" is not
_NUMBERS = r"\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209c\u2150-\u218b"  # raised, lowered, fractions: no digits for \d
_WORD = re.compile(rf"[^\W\d_{_NUMBERS}]+")
_SIGNS = {"MICRO SIGN", "OHM SIGN", "KELVIN SIGN", "ANGSTROM SIGN"}
_SIGNS |= {"FEMININE ORDINAL INDICATOR", "MASCULINE ORDINAL INDICATOR"}
_JOINT = re.compile(r"\s+|\s*[-/,]\s*|,?\s+(?:and|or|to)\s+(?:the\s+)?")
_BEFORE = re.compile(  # what leads to a place; behind others ("kidney left", "kidney, left") a side may belong to them
    r"\b(?:at|in|on|to|from|near|toward|towards|of|the|an?|its?|is|are|was|were|that|which|far|more|and|or"
    r"|located|situated|placed|positioned|lies|lying|found|seen|visible|shown|along|across|within|inside|outside|into"
    r"|over|against|around|this|both|mostly|mainly|largely|partly|slightly|somewhat|rather|just|only|further|farther"
    r"|predominantly|primarily|touch(?:es|ing)|cover(?:s|ing)|fill(?:s|ing)|occup(?:ies|ying)|reach(?:es|ing)"
    r"|cross(?:es|ing)|abut(?:s|ting)|extend(?:s|ing))[\s:(\[\"]*$",
    re.IGNORECASE,
)
_OWNER = re.compile(
    r"(?:['\u2019]s|s['\u2019]|\b(?:his|her|its|their|your|my|patient|anatomical|anatomic))\s+$", re.IGNORECASE
)
_PART = r"(?:\s+(?:side|part|half|third|edge|border|corner|area|region|portion))?"
_SHOWN = r"image|picture|photo|photograph|frame|view|scan|slice|ultrasound|x-?ray|radiograph"
_IMAGE = rf"\s+(?:the\s+|an?\s+|this\s+)?(?:(?!(?:of|in|on|at|from)\b)[\w-]+\s+){{0,3}}(?:{_SHOWN})\b"
_PLACE = re.compile(
    rf"{_PART}(?:\s*(?:$|[.,;:!?)\]])|\s+(?:with|which|that|is|are)\b|\s+(?:of|in|on){_IMAGE})", re.IGNORECASE
)
_OF_IMAGE = re.compile(rf"{_PART}\s+of{_IMAGE}", re.IGNORECASE)  # of "kidney left in the image" it may be the kidney's


class FlipWordsError(UserError, ValueError):
    """Words that cannot change places in a flip."""


@dataclass(frozen=True)
class _Run:
    """Words of direction that belong together, such as "top left", as matches of `_WORD`."""

    words: Sequence[re.Match[str]]

    @property
    def start(self) -> int:
        return self.words[0].start()

    @property
    def end(self) -> int:
        return self.words[-1].end()


class FlipWords:
    """The vocabulary of flips.

    Args:
        words: for each of `FLIPS` words to those that they change places with; "left" to "right" is enough for both
            ways. An entry of several words or with a hyphen ("left kidney", "left-sided") is exchanged wherever it
            stands, a single word only where it is a place of the image. None takes `FLIP_WORDS`.

    Raises:
        FlipWordsError: another flip, something that is no word, or a word that would have to become two others: one on
            both sides, or twice on one.
    """

    def __init__(self, words: Mapping[str, Mapping[str, str]] | None = None) -> None:
        given = FLIP_WORDS if words is None else words
        if not isinstance(given, Mapping) or not set(given) <= set(FLIPS):
            raise _error(f"a table with {' and '.join(FLIPS)}", given)
        self.partners = {axis: _both_ways(axis, given.get(axis) or {}) for axis in FLIPS}
        self._directions = _MIDDLE.union(*_SIDES.values(), *self.partners.values())

    def flipped(self, text: str, axis: str) -> str | None:
        """The prompt of the flipped image; None if it names a side that cannot be exchanged.

        Args:
            text: a prompt.
            axis: one of `FLIPS`.
        """
        partners, changed = self.partners[axis], []
        if self._is_unknown(text, partners):
            return None
        phrases = list(_phrases(partners).finditer(text)) if partners else []
        for run in self._runs(text, phrases):
            sides = [word for word in run.words if _key(word[0]) in _SIDES[axis] | set(partners)]
            alone = len(sides) == len(run.words) or not any(_key(word[0]) in _OF_IMAGES for word in run.words)
            if sides and not (_is_place(text, run, alone) and all(_key(word[0]) in partners for word in sides)):
                return None
            changed += sides
        spans = {match.span(): _cased(match[0], partners[_key(match[0])]) for match in [*phrases, *changed]}
        return None if None in spans.values() else _replaced(text, spans)

    def names_places(self, text: str) -> bool:
        """Whether a prompt has any word of a side or place, the middle included."""
        words = {_key(match[0]) for match in _WORD.finditer(text)}
        return bool(words & self._directions) or any(
            _phrases(own).search(text) or self._is_unknown(text, own) for own in self.partners.values()
        )

    def _is_unknown(self, text: str, partners: Mapping[str, str]) -> bool:
        """Whether words of the text may be sides: of a script without declared words, or with one inside of another."""
        foreign = [_key(match[0]) for match in _WORD.finditer(text) if _is_foreign(match[0])]
        declared = {word for partner in partners for word in partner.split() if _is_foreign(word)}
        inside = (one in word for word in set(foreign) - declared for one in declared)
        return bool(foreign) and (not declared or any(inside))

    def _runs(self, text: str, phrases: Sequence[re.Match[str]]) -> Iterator[_Run]:
        """The words of direction outside of phrases, those that belong together at a time."""
        run: list[re.Match[str]] = []
        for word in _WORD.finditer(text):
            if _key(word[0]) not in self._directions or any(one.start() <= word.start() < one.end() for one in phrases):
                continue
            if run and not _JOINT.fullmatch(text[run[-1].end() : word.start()]):
                yield _Run(run)
                run = []
            run.append(word)
        if run:
            yield _Run(run)


def _is_place(text: str, run: _Run, alone: bool) -> bool:
    """Whether words of direction are a place of the image, and do not belong to what stands beside them."""
    before, after = text[: run.start], text[run.end :]
    joined = not re.fullmatch(r"|[\s(\[\"/,;:]", before[-1:])
    nothing_else = not _WORD.search(before) and re.fullmatch(rf"{_PART}\W*", after, re.IGNORECASE)
    leads = not alone or nothing_else or _BEFORE.search(before) or _OF_IMAGE.match(after)
    return not joined and bool(leads) and not _OWNER.search(before) and bool(_PLACE.match(after))


def _is_foreign(word: str) -> bool:
    """Whether a word has letters of another script; signs of units and one Greek letter ("\u03b2-cell") are none."""
    names = [unicodedata.name(letter, "") for letter in word if unicodedata.category(letter)[0] == "L"]
    foreign = [name for name in names if not name.startswith("LATIN") and name not in _SIGNS]
    return len(foreign) > 1 or any(not name.startswith("GREEK") for name in foreign)


def _both_ways(axis: str, words: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(words, Mapping):
        raise _error(f"a table such as {{'left': 'right'}} for {axis}", words)
    partners: dict[str, str] = {}
    for pair in words.items():
        for word, other in (pair, pair[::-1]):
            key = _checked(axis, word)
            if key in partners or key == _checked(axis, other):
                what = f"one other word for each to change places with, and {word!r} stands on both sides or twice"
                raise _error(f"for {axis} {what}", dict(words))
            partners[key] = _checked(axis, other)
    foreign = sorted(partners.keys() & set().union(*_SIDES.values()) - _SIDES[axis])
    if foreign:
        what = f"words that this flip makes wrong, and {foreign[0]!r} is of the other one"
        raise _error(f"for {axis} {what}", dict(words))
    return partners


def _checked(axis: str, word: Any) -> str:
    if not isinstance(word, str) or not _WORD.search(word):
        raise _error(f"words for {axis}", word)
    return _key(word)


def _error(expected: str, given: Any) -> FlipWordsError:
    return FlipWordsError(f"flip_words: expected {expected}; got {given!r}")


def _key(text: str) -> str:
    return " ".join(text.lower().split())


@lru_cache(maxsize=64)
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    words = "|".join(r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])" if phrases else r"(?!)", re.IGNORECASE)


def _phrases(partners: Mapping[str, str]) -> re.Pattern[str]:
    """Finds the entries that are more than one word, the longest first."""
    return _pattern(tuple(sorted((one for one in partners if not _WORD.fullmatch(one)), key=len, reverse=True)))


def _cased(like: str, word: str) -> str | None:
    """A word in the letters of the one that it takes the place of; None where those follow no rule."""
    if like.islower():
        return word
    if like.isupper():
        return word.upper()
    if like.istitle():  # "Left", and "Upper Left" of phrases
        return _WORD.sub(lambda match: match[0].capitalize(), word)
    return word[:1].upper() + word[1:] if like[1:].islower() else None


def _replaced(text: str, spans: Mapping[tuple[int, int], str | None]) -> str:
    for (start, end), word in sorted(spans.items(), reverse=True):
        text = f"{text[:start]}{word}{text[end:]}"
    return text
