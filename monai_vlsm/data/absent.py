# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which structures are not in an image, by the class prompts (style p1) of the whole list."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.utils import ensure_tuple

from monai_vlsm.data.facts import KnownFiles
from monai_vlsm.data.volumes import Address
from monai_vlsm.errors import UserError
from monai_vlsm.prompts import prompt_tag, says_absent

__all__ = [
    "ClassPromptError",
    "NothingAbsentError",
    "Part",
    "Structure",
    "absent_probability",
    "absent_structures",
    "named_and_empty",
    "parts_by_image",
    "with_absent_prompts",
]

logger = logging.getLogger(__name__)

CLASS_STYLE = "p1"
MOST = 0.5  # a record asks for its own structure at least every second time
MANY = 10  # structures; fewer may well be in one image each
Record = Mapping[str, Any]
Structure = tuple[str, ...]
"""The class prompts of one structure: one text, or texts that say the same."""


class ClassPromptError(UserError, ValueError):
    """Class prompts that do not name structures, so that nobody can tell what is absent."""


class NothingAbsentError(UserError, ValueError):
    """Every image has everything that prompts can ask for."""


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
    """

    record: str
    mask: str
    prompt: str
    style: str
    tag: str
    names: Structure


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
    return Part(str(record.get("name", "")), mask, first, style, tag, () if says_absent(texts) else texts)


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
    known = _structures(images)
    taken = {_key(text) for structure in known for text in structure}
    own = [(word,) for word in _checked_words(words) if _key(word) not in taken]
    empty = named_and_empty(images, files or KnownFiles())
    structures = [*known, *own]
    places = {_key(text): place for place, structure in enumerate(structures) for text in structure}
    absent = {}
    for image, parts in images.items():
        there = {places[_key(text)] for part in parts if part.mask not in empty for text in part.names}
        absent[image] = [structure for place, structure in enumerate(structures) if place not in there]
    return absent


def named_and_empty(images: Mapping[str, Sequence[Part]], files: KnownFiles) -> set[str]:
    """The masks without any structure, of those whose prompt names one; ``images`` is from :func:`parts_by_image`."""
    return files.empty_masks(part.mask for parts in images.values() for part in parts if part.names)


def _key(text: str) -> str:
    return " ".join(text.lower().split())


def _structures(images: Mapping[str, Sequence[Part]]) -> list[Structure]:
    """All structures in the order of their first mention; texts that share a class prompt are one structure."""
    where: dict[Structure, set[str]] = defaultdict(set)
    for image, parts in images.items():
        for part in parts:
            if part.names:
                where[part.names].add(image)
    groups: dict[str, _Names] = {}  # each text to what it names; a search through a list would cost the square of it
    for number, (names, places) in enumerate(where.items()):
        texts = {_key(text): text for text in names}
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


def _checked_words(words: Sequence[str] | str | None) -> list[str]:
    texts = list(ensure_tuple(words)) if words else []
    for text in texts:
        if not isinstance(text, str) or not text.strip() or says_absent(text):
            raise ClassPromptError(f"absent_prompts must be names of things, such as 'pancreas', got {text!r}")
    return texts


def with_absent_prompts(
    records: Sequence[Record],
    share: float,
    words: Sequence[str] | str | None = None,
    files: KnownFiles | None = None,
) -> list[dict[str, Any]]:
    """Add ``"absent"`` to training records: the class prompts of what is not in their image.

    :class:`monai_vlsm.transforms.RandAbsentPromptd` draws from it. Records whose image has everything get none. Where
    a record says itself what is absent, as those of label maps do, the list of the others is not asked.

    Args:
        records: of the training list.
        share: of the records that shall ask for something absent; with 0 the records stay as they are.
        words: names of further things, which are in no image.
        files: what is known of files already; what is found is added.

    Raises:
        ValueError: a share outside 0 to 0.5.
        ClassPromptError: see :func:`absent_structures`.
        NothingAbsentError: nothing is absent anywhere; the message says what to do.
    """
    if not 0 <= share <= MOST:
        raise ValueError(f"negatives must be a share from 0 to {MOST}, got {share}")
    _checked_words(words)
    if share == 0:
        return [{key: value for key, value in record.items() if key != "absent"} for record in records]
    given = bool(records) and all("absent" in record for record in records)
    absent = _given_absent(records, words) if given else absent_structures(records, words, files)
    _require_absent(absent, parts_by_image(records), share)
    texts = {image: [text for structure in found for text in structure] for image, found in absent.items()}
    bare = ({key: value for key, value in record.items() if key != "absent"} for record in records)
    return [{**record, "absent": found} if (found := texts[record["image"]]) else record for record in bare]


def _given_absent(records: Sequence[Record], words: Sequence[str] | str | None) -> dict[str, list[Structure]]:
    """Path of each image to what its records say is absent, and to further things, which are in no image."""
    images = parts_by_image(records)
    taken = {_key(text) for structure in _structures(images) for text in structure}
    own = [(word,) for word in _checked_words(words) if _key(word) not in taken]
    absent = {}
    for record in records:
        if record["image"] not in absent:
            named = [tuple(ensure_tuple(one["prompt"].get(CLASS_STYLE, ()))) for one in record["absent"]]
            absent[record["image"]] = [*(texts for texts in named if texts and not says_absent(texts)), *own]
    return absent


def _require_absent(
    absent: Mapping[str, Sequence[Structure]], images: Mapping[str, Sequence[Part]], share: float
) -> None:
    parts = [part for its in images.values() for part in its]
    there = all(Path(Address.of(part.mask).file).is_file() for part in parts)
    if any(absent.values()) or not there:  # `validate_records` lists what lacks
        return
    raise NothingAbsentError(
        f"negatives is {share:g}, but nothing is absent: every image has a mask of all that the class prompts name "
        f"({', '.join(dict.fromkeys(part.prompt for part in parts))}). Add images without it, with an empty mask, or "
        "name things that are in no image: --absent_prompts \"['pancreas','left ventricle']\""
    )


def absent_probability(records: Sequence[Record], share: float) -> float:
    """How often a record with ``"absent"`` must ask for it, so that it happens to a share of all records.

    At most every second time, so that what is annotated in those images is seen as well; a warning says what share
    that gives.

    Args:
        records: from :func:`with_absent_prompts`.
        share: of all records.
    """
    able = sum(bool(record.get("absent")) for record in records)
    if not share or not able:
        return 0.0
    wanted = share * len(records) / able
    if wanted > MOST:
        logger.warning(
            "negatives %g: only %d of %d records have something absent, which gives %.3g; more with absent_prompts",
            share,
            able,
            len(records),
            MOST * able / len(records),
        )
    return min(wanted, MOST)
