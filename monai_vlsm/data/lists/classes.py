# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The table that says what the numbers or colours of a label map mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from monai_vlsm.errors import UserError
from monai_vlsm.prompts import TAGS, is_number, plain_tags, plain_words

__all__ = ["LabelClass", "LabelTableError", "first_text", "read_classes", "table_hint"]

STYLES = tuple(f"p{index}" for index in range(10))
PromptTable = dict[str, str | list[str]]
BACKGROUND = "background"
IGNORE = "ignore"  # nnU-Net's name for voxels that nobody annotated
EXTRA = ("name", "tags")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_LABELS = re.compile(r"\d+(\s*,\s*\d+)*")


class LabelTableError(UserError, ValueError):
    """A table of labels that does not say what they mean."""


@dataclass(frozen=True)
class LabelClass:
    """One class of label maps.

    Args:
        name: as the table has it.
        prompt: style to text or texts.
        tags: style to what its prompts give away (:mod:`monai_vlsm.prompts.tags`).
        labels: the numbers that have the class; none for a mask of its own.
        colour: the colour that has it, six hexadecimal digits.
        ignored: what nobody annotated, or background with a number of its own: neither asked for nor missed.
    """

    name: str
    prompt: PromptTable
    tags: dict[str, str]
    labels: tuple[int, ...] = ()
    colour: str | None = None
    ignored: bool = False

    @property
    def key(self) -> str:
        """The number, numbers or colour as a table writes them."""
        return f"#{self.colour}" if self.colour else ",".join(map(str, self.labels))

    @property
    def text(self) -> str:
        """The first text of the style p1, or of the first style where there is no p1."""
        return first_text(self.prompt)


def table_hint(keys: list[str], where: str) -> str:
    """What to write: ``"labels": {"1": "NAME", "2": "NAME"}``.

    Args:
        keys: numbers or colours that need a name.
        where: the file, or files, that it may stand in.
    """
    named = ", ".join(f'"{key}": "NAME"' for key in keys or ["1"])
    return f'write what each is, "labels": {{{named}}}, into {where}'


def read_classes(table: Any, where: str) -> tuple[tuple[LabelClass, ...], list[str]]:
    """The classes of a table, without 0, which is the background.

    Args:
        table: number or colour to name (``{"1": "liver"}``, ``{"#ff0000": "artery"}``), name to number or numbers
            (``{"liver": 1, "whole tumour": [1, 2]}``), or number to prompts (``{"1": {"p1": "liver", "p2": [...]}}``,
            which may have ``name`` and ``tags`` too).
        where: the file, for messages.

    Returns:
        the classes in the order of the table, with those that are ignored, and lines on these.

    Raises:
        LabelTableError: no such table; numbers without a name; a name or a number twice.
    """
    if not isinstance(table, Mapping) or not table:
        what = "an empty one" if isinstance(table, Mapping) else f"{type(table).__name__} {table!r:.60}"
        raise LabelTableError(f'{where}: expected a table of labels, such as {{"1": "liver"}}, found {what}')
    found, notes = [], []
    for key, value in _pairs(table, where):
        one = _class(key, value, where)
        if one.name.lower() == IGNORE:
            notes.append(f"{where}: left out is the label {one.key}, {one.name}, for what nobody annotated")
        if one.labels != (0,):
            found.append(replace(one, ignored=one.name.lower() in (IGNORE, BACKGROUND)))
    _check_labels(found, where)
    return tuple(found), notes


def _pairs(table: Mapping[Any, Any], where: str) -> Iterator[tuple[str, Any]]:
    """Number or colour, and what it means, whichever way round the table is."""
    by_number = all(_is_key(str(key)) for key in table)
    for key, value in table.items():
        if by_number:
            yield str(key).strip(), value
        elif _numbers(value) is not None:
            yield ",".join(map(str, _numbers(value) or ())), str(key)
        elif isinstance(value, str) and _COLOUR.fullmatch(value.strip()):
            yield value.strip(), str(key)
        else:
            raise LabelTableError(
                f"{where}: expected labels as numbers to names or names to numbers, found {key!r}: {value!r:.60}"
            )


def _is_key(key: str) -> bool:
    return bool(_LABELS.fullmatch(key.strip()) or _COLOUR.fullmatch(key.strip()))


def _numbers(value: Any) -> tuple[int, ...] | None:
    """A number or numbers from 0 on; None for anything else."""
    many = value if isinstance(value, list | tuple) and value else [value]
    whole = [one for one in many if isinstance(one, int) and not isinstance(one, bool) and one >= 0]
    return tuple(whole) if len(whole) == len(many) else None


def _class(key: str, value: Any, where: str) -> LabelClass:
    colour = key[1:].lower() if key.startswith("#") else None
    labels = () if colour else tuple(dict.fromkeys(int(one) for one in key.split(",")))
    if isinstance(value, Mapping) and "name" in value and not set(value) - set(EXTRA):
        value = value["name"]
    if isinstance(value, str):
        name = value.strip()
        table: PromptTable = {"p1": plain_words(name)}
        return LabelClass(_named(name, key, where), table, plain_tags(table), labels, colour)
    try:
        table, tags = _prompts(value)
    except ValueError as error:
        raise LabelTableError(f"{where}: label {key}: {error}") from error
    stated = value.get("name") if isinstance(value, Mapping) else None
    name = str(stated or first_text(table)).strip()
    return LabelClass(_named(name, key, where), table, tags, labels, colour)


def first_text(prompt: PromptTable) -> str:
    """The first text of the style p1, or of the first style where there is no p1."""
    texts = prompt.get("p1") or next(iter(prompt.values()))
    return texts if isinstance(texts, str) else texts[0]


def _named(name: str, key: str, where: str) -> str:
    if key != "0" and is_number(name):
        raise LabelTableError(
            f"{where}: expected a name for the label {key}, found {name!r}; numbers mean another thing in each data "
            f"set: {table_hint([key], 'it')}"
        )
    return name


def _prompts(value: Any) -> tuple[PromptTable, dict[str, str]]:
    """The prompts of a class and their tags, which are ``class`` where nothing is stated."""
    own = value if isinstance(value, Mapping) else {"p1": value}
    table = {style: texts for style, texts in own.items() if style not in EXTRA}
    unknown = [str(style) for style in table if style not in STYLES]
    if unknown or not table:
        raise ValueError(f"expected a name or prompts in the styles p0 to p9, found {', '.join(unknown) or 'none'}")
    for style, texts in table.items():
        many = texts if isinstance(texts, list) else [texts]
        if not many or not all(isinstance(one, str) and (one.strip() or style == "p0") for one in many):
            raise ValueError(f"expected {style} to be a text or a list of texts, found {texts!r:.60}")
    try:
        return table, plain_tags(table, own.get("tags"))
    except ValueError as error:
        raise ValueError(f"expected tags {', '.join(TAGS)}: {error}") from error


def _check_labels(classes: list[LabelClass], where: str) -> None:
    """No name, no prompt, and no number or set of numbers, twice; regions may share numbers."""
    if all(one.ignored for one in classes):
        raise LabelTableError(f"{where}: expected labels besides the background, found none")
    asked = [one.text for one in classes if not one.ignored]  # kidney_left and "left kidney": one text for two masks
    every = {"name": [one.name for one in classes], "label": [one.key for one in classes], "prompt": asked}
    for what, values in every.items():
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise LabelTableError(
                f"{where}: expected each {what} once, found {', '.join(twice)} several times; what is one structure is "
                'written once, {"NAME": [1, 2]}'
            )
