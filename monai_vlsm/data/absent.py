# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which structures are not in an image, by the class prompts (style p1) of the whole list."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai.utils import ensure_tuple

from monai_vlsm.data.facts import KnownFiles
from monai_vlsm.errors import UserError
from monai_vlsm.prompts import prompt_tag, says_absent

__all__ = [
    "ClassPromptError",
    "Part",
    "Structure",
    "absent_structures",
    "checked_words",
    "known_structures",
    "named_and_empty",
    "parts_by_image",
    "text_key",
]

CLASS_STYLE = "p1"
MANY = 10  # structures; fewer may well be in one image each
Record = Mapping[str, Any]
Structure = tuple[str, ...]
"""The class prompts of one structure: one text, or texts that say the same."""


class ClassPromptError(UserError, ValueError):
    """Class prompts that do not name structures, so that nobody can tell what is absent."""


@dataclass(frozen=True)
class Part:
    """One structure of one image.

    Args:
        record: name of its record.
        mask: path of its mask.
        prompt: its class prompt; empty if it has none.
        style: p1; empty if the record has a text in the place of a table.
        tag: what the prompt gives away.
        names: the texts that name the structure; none if the prompt says that there is nothing, as in "no polyp".
        table: all its prompts by style; empty if the record has a text in the place of a table.
    """

    record: str
    mask: str
    prompt: str
    style: str
    tag: str
    names: Structure
    table: Mapping[str, Any] = field(default_factory=dict)


def parts_by_image(records: Sequence[Record]) -> dict[str, list[Part]]:
    """Path of each image to its structures, from records with one structure or with several; others are left out."""
    images: dict[str, list[Part]] = defaultdict(list)
    for record in records:
        if "prompt" not in record:  # MONAI Label's datalists; nobody can tell what else is in such an image
            continue
        together = not isinstance(record["label"], str)
        masks = list(record["label"]) if together else [record["label"]]
        prompts = list(record["prompt"]) if together else [record["prompt"]]
        tags = record.get("tags")
        each = list(tags) if isinstance(tags, list | tuple) else [tags] * len(masks)
        for mask, prompt, stated in zip(masks, prompts, each, strict=True):
            images[record["image"]].append(_part(record, mask, prompt, stated))
    return dict(images)


def _part(record: Record, mask: str, prompt: Any, stated: Any) -> Part:
    style, found = (CLASS_STYLE, prompt.get(CLASS_STYLE, ())) if isinstance(prompt, Mapping) else ("", prompt)
    texts = tuple(ensure_tuple(found))
    first = texts[0] if texts else ""
    tag = prompt_tag(style, first, str(record.get("dataset", "")), stated)
    table = prompt if isinstance(prompt, Mapping) else {}
    return Part(str(record.get("name", "")), mask, first, style, tag, () if says_absent(texts) else texts, table)


def absent_structures(
    records: Sequence[Record], words: Sequence[str] | str | None = None, files: KnownFiles | None = None
) -> dict[str, list[Structure]]:
    """What is not in each image: the structures of the list that have no mask there, or an empty one.

    Texts that stand together as alternatives in one class prompt mean one structure. A prompt that says that there is
    nothing ("No tumor ...") names none, so that "Tumor ..." is absent in its image.

    Args:
        records: as from :func:`monai_vlsm.data.load_datalist`.
        words: names of further things, which are in no image; one that an image does have counts as present there.
        files: what is known of files already; masks that are not known are decoded.

    Returns:
        path of each image to its absent structures, those of the list first.

    Raises:
        ClassPromptError: class prompts that describe single images, or a word that says that there is nothing.
    """
    images = parts_by_image(records)
    known = known_structures(images)
    taken = {text_key(text) for structure in known for text in structure}
    own = [(word,) for word in checked_words(words) if text_key(word) not in taken]
    empty = named_and_empty(images, files or KnownFiles())
    structures = [*known, *own]
    places = {text_key(text): place for place, structure in enumerate(structures) for text in structure}
    absent = {}
    for image, parts in images.items():
        there = {places[text_key(text)] for part in parts if part.mask not in empty for text in part.names}
        absent[image] = [structure for place, structure in enumerate(structures) if place not in there]
    return absent


def named_and_empty(images: Mapping[str, Sequence[Part]], files: KnownFiles) -> set[str]:
    """The masks without any structure, of those whose prompt names one; ``images`` is from :func:`parts_by_image`."""
    return files.empty_masks(part.mask for parts in images.values() for part in parts if part.names)


def text_key(text: str) -> str:
    """The same for texts that differ in capitals and spaces only."""
    return " ".join(text.lower().split())


def known_structures(images: Mapping[str, Sequence[Part]]) -> list[Structure]:
    """All structures in the order of their first mention; texts that share a class prompt are one structure."""
    where: dict[Structure, set[str]] = defaultdict(set)
    for image, parts in images.items():
        for part in parts:
            if part.names:
                where[part.names].add(image)
    groups: dict[str, _Names] = {}  # each text to what it names; a search through a list would cost the square of it
    for number, (names, places) in enumerate(where.items()):
        texts = {text_key(text): text for text in names}
        same = sorted({id(g): g for key in texts if (g := groups.get(key))}.values(), key=lambda group: group.order)
        merged = same[0] if same else _Names()
        for group in same[1:]:
            merged.texts |= group.texts
            merged.places |= group.places
        merged.texts |= texts
        merged.places |= places
        merged.order = number
        groups |= dict.fromkeys(merged.texts if same[1:] else texts, merged)
    found = sorted({id(group): group for group in groups.values()}.values(), key=lambda group: group.order)
    _require_names([(group.texts, group.places) for group in found])
    return [tuple(group.texts.values()) for group in found]


@dataclass
class _Names:
    """The texts of one structure, by their keys; the images that they name it in; the place among the structures."""

    texts: dict[str, str] = field(default_factory=dict)
    places: set[str] = field(default_factory=set)
    order: int = 0


def _require_names(found: Sequence[tuple[Mapping[str, str], set[str]]]) -> None:
    single = [next(iter(texts.values())) for texts, places in found if len(places) == 1]
    if len(single) > MANY and len(single) > len(found) / 2:
        raise ClassPromptError(
            f"{len(single)} of {len(found)} class prompts (p1) belong to one image only, such as {single[0]!r}: they "
            "describe images and do not name structures, so nobody can tell what is absent. Give names as p1 and "
            "descriptions as p2 to p9 (docs/data.md)"
        )


def checked_words(words: Sequence[str] | str | None) -> list[str]:
    """Names of further things, as a list.

    Raises:
        ClassPromptError: something that names nothing.
    """
    texts = list(ensure_tuple(words)) if words else []
    for text in texts:
        if not isinstance(text, str) or not text.strip() or says_absent(text):
            raise ClassPromptError(f"absent_prompts must be names of things, such as 'pancreas', got {text!r}")
    return texts
