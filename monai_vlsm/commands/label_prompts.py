# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Prompts for the classes of label maps: what ``data prompts`` writes for a list of cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from monai_vlsm.commands.prompt_lists import ListExistsError
from monai_vlsm.data.entries import LABELS_FILE
from monai_vlsm.data.lists.classes import LabelClass
from monai_vlsm.data.lists.reading import FoundList, list_classes
from monai_vlsm.io import write_text
from monai_vlsm.prompts import CLASS, TEMPLATES, Recipe, RecipeError, compose, plain_words, table_tags
from monai_vlsm.tables import text_table

__all__ = ["make_label_prompts"]


def make_label_prompts(found: FoundList, recipe: Recipe | None = None, overwrite: bool = False) -> list[str]:
    """Write ``labels.json`` beside a list: each class of its label maps with prompts and tags.

    Args:
        found: the list.
        recipe: words of structures by their names in the list; other classes get their name in plain words.
        overwrite: replace a ``labels.json`` that differs.

    Returns:
        lines that say what was written.

    Raises:
        LabelTableError: the list has no names for its labels.
        RecipeError: the recipe has structures that the list does not have.
        ListExistsError: without ``overwrite`` a ``labels.json`` that differs.
    """
    classes, notes = list_classes(found)
    words = _words(recipe, classes)
    table = {one.key: _entry(one, words.get(one.name), recipe) for one in classes}
    file = found.file.with_name(LABELS_FILE)
    text = json.dumps(table, indent=2, ensure_ascii=False) + "\n"
    if file.exists() and file.read_text(encoding="utf-8", errors="replace") != text and not overwrite:
        raise ListExistsError(f"would replace {file}, which differs; add --overwrite to do so")
    write_text(file, text)
    rows = [(one.key, one.name, _shown(table[one.key])) for one in classes if not one.ignored]
    return [*notes, text_table(("label", "name", "prompt"), rows), f"done: {file}; edit it as you like"]


def _words(recipe: Recipe | None, classes: tuple[LabelClass, ...]) -> dict[str, Mapping[str, Any]]:
    """Name of a class to its words in the recipe, whose structures are named as in the list or in plain words."""
    asked = [one for one in classes if not one.ignored]
    structures = recipe.structures if recipe else {}
    if "" in structures and len(asked) != 1:
        raise RecipeError(
            f"the recipe has words for one class, and the list has {', '.join(one.name for one in asked)}: give words "
            "for each as structures"
        )
    if "" in structures:
        return {asked[0].name: structures[""]}
    names = {_key(name): one.name for one in asked for name in (one.name, plain_words(one.name))}
    unknown = [name for name in structures if _key(name) not in names]
    if unknown:
        raise RecipeError(
            f"the recipe has the structures {', '.join(unknown)}, which the list does not have; it has "
            f"{', '.join(one.name for one in asked)}"
        )
    return {names[_key(name)]: words for name, words in structures.items()}


def _key(name: str) -> str:
    return " ".join(name.lower().split())


def _entry(one: LabelClass, words: Mapping[str, Any] | None, recipe: Recipe | None) -> Any:
    """What the table says of a class; prompts that somebody wrote before stay where the recipe has no words for it."""
    if one.ignored:
        return one.name
    template = recipe.template if recipe else TEMPLATES["photo"]
    if words is None and (len(one.prompt) > 1 or one.prompt.get("p1") != plain_words(one.name)):
        prompts, tags = one.prompt, one.tags
    else:
        prompts = compose(template, words or {"class": plain_words(one.name)})
        tags = table_tags(template, prompts)
    return {"name": one.name, **prompts, **({"tags": tags} if set(tags.values()) != {CLASS} else {})}


def _shown(entry: Mapping[str, Any]) -> str:
    texts = entry.get("p1", "")
    more = sum(len(value) if isinstance(value, list) else 1 for style, value in entry.items() if style[1:].isdecimal())
    first = texts if isinstance(texts, str) else texts[0]
    others = more - 1 - ("p0" in entry)
    return f"{first} (and {others} more)" if others > 0 else first
