# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts for drawn scenes: number, size, colour, shape and location words, and what each prompt asks for."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from scenes import COLOURS, SHAPES, SIZES, Thing

__all__ = ["FAMILIES", "Prompt", "all_texts", "contrasting_prompts", "location_words"]

# A family is the set of attributes that a prompt names; "half" and "region" are straight-edged areas.
FAMILIES: tuple[str, ...] = (
    "colour",
    "shape",
    "location",
    "size",
    "relation",
    "colour+shape",
    "colour+size",
    "shape+size",
    "colour+location",
    "shape+location",
    "colour+shape+size",
    "full",
    "half",
    "region",
)
_NOUNS = ("shape", "object", "thing", "area", "region", "structure", "lesion", "polyp", "mass", "tumor", "part")
_COUNTS = ("one", "two", "three", "four", "five", "six")
_SIZE_WORDS = {"small": ("small", "tiny"), "medium": ("medium", "medium sized"), "large": ("large", "big")}
_SHAPE_WORDS = {
    "circle": ("circle", "disc", "round {noun}"),
    "oval": ("oval", "ellipse", "oval {noun}"),
    "square": ("square", "square {noun}"),
    "rectangle": ("rectangle", "rectangular {noun}"),
    "triangle": ("triangle", "triangular {noun}"),
    "star": ("star", "star shaped {noun}"),
    "cross": ("cross", "plus"),
    "ring": ("ring", "ring shaped {noun}"),
    "crescent": ("crescent", "moon"),
    "blob": ("blob", "irregular {noun}"),
    "ribbon": ("ribbon", "wavy line"),
    "diamond": ("diamond", "rhombus"),
}
_COLOUR_WORDS = {"grey": ("grey", "gray"), "purple": ("purple", "violet")}
_SIDES = ("left", "right", "top", "bottom")
_WEIGHTS_OF_NAMED = {"full": ("colour", "shape", "size", "location")}


@dataclass(frozen=True)
class Prompt:
    """A text with what it asks for.

    Args:
        text: the prompt.
        indexes: values of the index map that are wanted; (0,) is the background.
        side: ``""``, or the side (left, right, top, bottom) to which the wanted area is cut.
        origin: where the cut lies, as fractions (x, y) of the image.
        family: a name of ``FAMILIES``.
    """

    text: str
    indexes: tuple[int, ...]
    family: str
    side: str = ""
    origin: tuple[float, float] = (0.5, 0.5)


def location_words(centre: tuple[float, float]) -> str:
    """Words of the cell of a 3 x 3 grid that holds a centre (x, y in fractions), as in ``"top left"``."""
    column = ("left", "", "right")[min(int(centre[0] * 3), 2)]
    row = ("top", "", "bottom")[min(int(centre[1] * 3), 2)]
    return f"{row} {column}".strip() or "center"


def _matches(target: Thing, things: Sequence[Thing], names: Sequence[str]) -> list[Thing]:
    def key(thing: Thing) -> tuple[str, ...]:
        values = {"colour": thing.colour, "shape": thing.shape, "size": thing.size, "relation": thing.relation}
        return tuple(location_words(thing.centre) if n == "location" else values[n] for n in names)

    return [thing for thing in things if key(thing) == key(target)]


def _plural(words: str) -> str:
    return words + ("es" if words.endswith(("s", "x")) else "s")


def _noun_phrase(target: Thing, names: Sequence[str], rng: random.Random) -> str:
    noun = rng.choice(_NOUNS)
    words = []
    if "size" in names:
        words.append(rng.choice(_SIZE_WORDS[target.size]))
    if "colour" in names:
        words.append(rng.choice(_COLOUR_WORDS.get(target.colour, (target.colour,))))
    if "relation" in names:
        words.append(target.relation)
    words.append(rng.choice(_SHAPE_WORDS[target.shape]).format(noun=noun) if "shape" in names else noun)
    return " ".join(words)


def _sentence(target: Thing, count: int, names: Sequence[str], rng: random.Random) -> str:
    bare = rng.random()
    if names == ("colour",) and bare < 0.3:
        return target.colour
    phrase = _noun_phrase(target, names, rng)
    if count > 1:
        number = _COUNTS[min(count, 6) - 1]
        phrase = f"{number} {_plural(phrase)}" if bare < 0.6 else _plural(phrase)
    elif bare < 0.5:
        phrase = f"{rng.choice(('one', 'the', 'a'))} {phrase}"
    if "location" in names:
        words = location_words(target.centre)
        pattern = rng.choice((", located in {} of the image", " in the {}", " at the {} of the image", " on the {}"))
        phrase += pattern.format(words)
    return phrase


def _describe(target: Thing, things: Sequence[Thing], family: str, rng: random.Random) -> Prompt | None:
    names = _WEIGHTS_OF_NAMED.get(family) or tuple(family.split("+"))
    known = {"colour": target.colour, "shape": target.shape != "part", "size": target.size, "relation": target.relation}
    # A part has no place of its own: it spreads over its whole.
    if not all(known.get(name, target.shape != "part") for name in names):
        return None
    found = _matches(target, things, names)
    indexes = tuple(sorted({index for thing in found for index in thing.indexes}))
    return Prompt(_sentence(target, len(found), names, rng), indexes, family)


def _half(target: Thing, things: Sequence[Thing], rng: random.Random) -> Prompt | None:
    if target.size != "large":
        return None
    options = [n for n in ("shape", "colour+shape", "size", "shape+size") if target.colour or "colour" not in n]
    whole = _describe(target, things, rng.choice(options), rng)
    if whole is None or len(_matches(target, things, whole.family.split("+"))) != 1:
        return None
    side = rng.choice(_SIDES[:2] if rng.random() < 0.65 else _SIDES)
    article = "" if whole.text.startswith(("the ", "a ", "one ")) else "the "
    text = rng.choice(("{} half of {}{}", "{} side of {}{}", "the {} half of {}{}"))
    return Prompt(text.format(side, article, whole.text), whole.indexes, "half", side, target.centre)


def _region(things: Sequence[Thing], rng: random.Random) -> Prompt:
    every = tuple(sorted({index for thing in things for index in thing.indexes}))
    kind = rng.random()
    if kind < 0.3:
        return Prompt(rng.choice(("background", "the background")), (0,), "region")
    if kind < 0.6:
        noun = rng.choice(("everything", "all shapes", "all objects", "foreground"))
        return Prompt(noun, every, "region")
    side = rng.choice(_SIDES)
    text = rng.choice(("{} half of the image", "{} side of the image")).format(side)
    return Prompt(text, (0, *every), "region", side)


def contrasting_prompts(
    things: Sequence[Thing], count: int, families: Sequence[str], weights: Sequence[float], rng: random.Random
) -> list[Prompt]:
    """Prompts of one scene that ask for different things, so that the image alone does not give the answer.

    Args:
        things: the nameable things of a scene (at least one).
        count: number of prompts.
        families: families to draw from.
        weights: weight of each family.
        rng: source of every choice.

    Raises:
        ValueError: if ``things`` is empty.
    """
    if not things:
        raise ValueError("a scene without things has no prompts; draw another scene.")
    prompts: list[Prompt] = []
    seen: set[tuple[tuple[int, ...], str]] = set()
    order: list[Thing] = []
    for attempt in range(6 * count):
        if len(prompts) == count:
            break
        if not order:
            order = rng.sample(list(things), len(things))
        target = order.pop()
        family = rng.choices(families, weights)[0]
        if family == "region":
            prompt: Prompt | None = _region(things, rng)
        elif family == "half":
            prompt = _half(target, things, rng)
        else:
            prompt = _describe(target, things, family, rng)
        # Repeats of a mask are allowed only once other masks have been tried.
        if prompt is not None and ((prompt.indexes, prompt.side) not in seen or attempt > 3 * count):
            prompts.append(prompt)
            seen.add((prompt.indexes, prompt.side))
    while len(prompts) < count:
        prompts.append(rng.choice(prompts) if prompts else _region(things, rng))
    return prompts


def all_texts(count: int, seed: int = 0) -> list[str]:
    """Random prompts over the whole grammar (no image needed), for learning the tokenizer's merges."""
    rng = random.Random(seed)
    things = [
        Thing((1,), shape, colour, size, (rng.random(), rng.random()), relation)
        for shape in SHAPES
        for colour in COLOURS
        for size in SIZES
        for relation in ("inner", "outer")
    ]
    texts = []
    for _ in range(count):
        group = [rng.choice(things)] * rng.choice((1, 1, 2, 3, 4, 5, 6))
        texts += [p.text for p in contrasting_prompts(group, 1, FAMILIES, [1.0] * len(FAMILIES), rng)]
    return texts
