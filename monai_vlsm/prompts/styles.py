# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Sentences of the styles p0 to p9 from words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from monai_vlsm.prompts.tags import says_absent, style_tags
from monai_vlsm.prompts.templates import MASK_DERIVED, Template, fields_of
from monai_vlsm.prompts.words import number_word

__all__ = ["compose", "table_tags"]

Words = Mapping[str, str | Sequence[str]]


def compose(template: Template, words: Words, parity: bool = False) -> dict[str, str | list[str]]:
    """The prompt table of one structure.

    A sentence is written only if all its words are known: without descriptions there is no p7, without the patient's
    age no p5 of a heart. A style without any sentence is left out.

    If ``number`` is ``"zero"``, sentences with words from the mask are replaced by the one for an empty mask ("no
    polyp"). The authors replaced p1 too, which then says that there is nothing to find; ``parity=True`` does so.

    Args:
        template: the sentences, for example ``TEMPLATES["photo"]``.
        words: field (see :data:`monai_vlsm.prompts.FIELDS`) to a word, or to several that make alternatives. An age in
            digits becomes words; without ``classes``, the plural is the class with an s.
        parity: treat empty masks as the authors did.

    Returns:
        style to text, or to a list of alternative texts; ``p0`` is empty.

    Raises:
        ValueError: no word for ``class``.
    """
    known = _complete(words)
    tags = style_tags(template.styles)
    table: dict[str, str | list[str]] = {"p0": ""}
    for style, sentences in template.styles.items():
        if known.get("number") == ["zero"] and (parity or tags[style] == MASK_DERIVED):
            sentences = (template.absent,)
        texts = [_capital(text) if template.capital else text for text in _written(sentences, known)]
        if texts:
            table[style] = texts[0] if len(texts) == 1 else texts
    return table


def _complete(words: Words) -> dict[str, list[str]]:
    """Field to its known words, with those that follow from others."""
    known = {name: [word] if isinstance(word, str) else list(word) for name, word in words.items()}
    known = {name: [word for word in found if word] for name, found in known.items()}
    if not known.get("class"):
        raise ValueError(f"words must have the class of the structure, got {', '.join(words) or 'none'}")
    one = known.get("number", ["one"]) == ["one"]
    known.setdefault("classes", [name if one else f"{name}s" for name in known["class"]])
    known["age"] = [number_word(int(age)) if age.isdecimal() else age for age in known.get("age", [])]
    return known


def _written(sentences: Sequence[str], known: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for sentence in sentences:
        names = sorted(fields_of(sentence))
        for chosen in product(*(known.get(name, ()) for name in names)):
            yield sentence.format_map(dict(zip(names, chosen, strict=True)))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def table_tags(template: Template, table: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Tag of each style of a prompt table that :func:`compose` made."""
    tags = style_tags(template.styles)
    return {style: MASK_DERIVED if says_absent(texts) else tags[style] for style, texts in table.items()}
