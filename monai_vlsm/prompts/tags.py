# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a prompt gives away: ``class`` nothing, ``metadata`` facts of patient or scan, ``mask-derived`` the truth.

A score with a mask-derived prompt is not a score that a clinic can have, since whoever writes such a prompt has already
seen where the structure is. A sentence has the most telling tag of its words, by the table
:data:`monai_vlsm.prompts.FIELDS`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from monai_vlsm.prompts.templates import CLASS, DATASETS, FIELDS, MASK_DERIVED, METADATA, TEMPLATES, fields_of

__all__ = ["TAGS", "family_of", "official_tags", "plain_tags", "prompt_tag", "says_absent", "style_tags", "worst_tag"]

TAGS = (CLASS, METADATA, MASK_DERIVED)  # from the least to the most telling


def _known(tag: Any) -> str:
    if tag not in TAGS:
        raise ValueError(f"unknown tag {tag!r}, known: {', '.join(TAGS)}")
    return str(tag)


def worst_tag(tags: Iterable[str]) -> str:
    """The most telling of some tags; ``class`` if there are none.

    Raises:
        ValueError: something that is no tag.
    """
    return max((_known(tag) for tag in tags), key=TAGS.index, default=CLASS)


def style_tags(styles: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Tag of each style from the fields in its sentences; p0, the empty prompt, is ``class``."""
    tags = {
        style: worst_tag(FIELDS[name] for text in texts for name in fields_of(text)) for style, texts in styles.items()
    }
    return {"p0": CLASS, **tags}


FAMILY_TAGS = {name: style_tags(template.styles) for name, template in TEMPLATES.items()}
FAMILIES = {re.split(r"[^a-z]", name)[0]: family for name, family in DATASETS.items()}


def family_of(dataset: str) -> str | None:
    """The kind of prompts of a dataset of the papers by its name, such as ``"photo"`` for ``"kvasir_polyp"``.

    A name counts when a part of it is known: ``"Kvasir-SEG"``, ``"isic2016"``. None for every other name.
    """
    parts = re.findall(r"[a-z]+", dataset.lower())
    return next((FAMILIES[part] for part in parts if part in FAMILIES), None)


def says_absent(texts: str | Sequence[str]) -> bool:
    """Whether a prompt, or one of several, tells that the mask is empty: its first word is "no", as in "no polyp"."""
    return any(
        re.match(r"no\s+\w", text.strip(), re.IGNORECASE) for text in ([texts] if isinstance(texts, str) else texts)
    )


def official_tags(dataset: str, table: Mapping[str, str | Sequence[str]]) -> dict[str, str]:
    """Tags of one record of the official annotations, by the kind of dataset and the style.

    What nothing is known of, other datasets and styles, counts as ``mask-derived``, except p0 and p1.

    Args:
        dataset: name of the dataset.
        table: style to a text or to alternative texts.

    Returns:
        style to tag, for each style of the table.
    """
    known = {"p0": CLASS, "p1": CLASS} | FAMILY_TAGS.get(family_of(dataset) or "", {})
    return {
        style: MASK_DERIVED if says_absent(texts) else known.get(style, MASK_DERIVED) for style, texts in table.items()
    }


def plain_tags(table: Mapping[str, str | Sequence[str]], stated: Any = None) -> dict[str, str]:
    """Tags of one record of one's own list: those that it states, else ``class``.

    Without a statement, a prompt that says that there is nothing (:func:`says_absent`) is ``mask-derived``.

    Args:
        table: style to a text or to alternative texts.
        stated: nothing, a tag for all styles, or a table of styles to tags.

    Returns:
        style to tag, for each style of the table.

    Raises:
        ValueError: something that is no tag, or a style that the table does not have.
    """
    given = dict.fromkeys(table, stated) if isinstance(stated, str) and stated else stated or {}
    if not isinstance(given, Mapping):
        raise ValueError(f"tags must be one of {', '.join(TAGS)}, or a table of styles to them, got {stated!r}")
    unknown = sorted(str(style) for style in given if style not in table)
    if unknown:
        raise ValueError(f"tags of {', '.join(unknown)}, but the prompts are {', '.join(table)}")
    own = {style: MASK_DERIVED if says_absent(texts) else CLASS for style, texts in table.items()}
    return own | {style: _known(tag) for style, tag in given.items()}


def prompt_tag(style: str, text: str, dataset: str = "", stated: Any = None) -> str:
    """Tag of one chosen prompt.

    Args:
        style: its style; empty if it was given as a text.
        text: the prompt.
        dataset: name of the dataset, which decides where nothing is stated.
        stated: nothing, a tag, or a table of styles to tags.

    Raises:
        ValueError: something that is no tag.
    """
    tag = stated.get(style) if isinstance(stated, Mapping) else stated
    if tag:
        return _known(tag)
    if style and family_of(dataset):
        return official_tags(dataset, {style: text})[style]
    return plain_tags({style: text})[style]
