# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Training records with the prompts of what is not in their image, in all styles that those of present things have."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.utils import ensure_tuple

from monai_vlsm.data.absent import (
    CLASS_STYLE,
    Part,
    Structure,
    absent_structures,
    checked_words,
    known_structures,
    parts_by_image,
    text_key,
)
from monai_vlsm.data.facts import KnownFiles
from monai_vlsm.data.volumes import Address
from monai_vlsm.errors import UserError
from monai_vlsm.prompts import says_absent

__all__ = ["NothingAbsentError", "absent_probability", "with_absent_prompts"]

logger = logging.getLogger(__name__)

MOST = 0.5  # a record asks for its own structure at least every second time
MOST_TEXTS = 32  # of one style of an absent structure, so that records stay small
EMPTY_STYLE = "p0"
Record = Mapping[str, Any]
Table = dict[str, list[str]]


class NothingAbsentError(UserError, ValueError):
    """Every image has everything that prompts can ask for."""


def with_absent_prompts(
    records: Sequence[Record],
    share: float,
    words: Sequence[str] | str | None = None,
    files: KnownFiles | None = None,
) -> list[dict[str, Any]]:
    """Add ``"absent"`` to training records: a prompt table of each thing that is not in their image.

    :class:`monai_vlsm.transforms.RandDrawPromptsd` draws from it. Records whose image has everything get none. Where
    a record says itself what is absent, as those of label maps do, the list of the others is not asked.

    A style must not give away that a thing is absent, so the table of a structure has the prompts that it has where it
    is there, of all records together; that of a word has those of the structures with the word in the place of the
    structure's name, as far as they have that name.

    Args:
        records: of the training list.
        share: of the records that shall ask for something absent; with 0 the records stay as they are.
        words: names of further things, which are in no image.
        files: what is known of files already; what is found is added.

    Raises:
        ValueError: a share outside 0 to 0.5.
        ClassPromptError: see `monai_vlsm.data.absent.absent_structures`.
        NothingAbsentError: nothing is absent anywhere; the message says what to do.
    """
    if not 0 <= share <= MOST:
        raise ValueError(f"negatives must be a share from 0 to {MOST}, got {share}")
    checked_words(words)
    bare = [{key: value for key, value in record.items() if key != "absent"} for record in records]
    if share == 0:
        return bare
    images = parts_by_image(records)
    given = bool(records) and all("absent" in record for record in records)
    absent = _given_absent(records, images, words) if given else absent_structures(records, words, files)
    _require_absent(absent, images, share)
    named = [(part.names, part.table) for parts in images.values() for part in parts if part.names]
    lists = {id(record["absent"]): record["absent"] for record in records if given}  # many slices share one
    stated = [(names, one["prompt"]) for its in lists.values() for one in its if (names := _names(one))]
    tables = absent_tables({one for found in absent.values() for one in found}, [*named, *stated])
    found = {image: [tables[one] for one in its] for image, its in absent.items()}
    return [{**record, "absent": its} if (its := found.get(record["image"])) else record for record in bare]


def absent_tables(
    structures: Iterable[Structure], named: Iterable[tuple[Structure, Mapping[str, Any]]]
) -> dict[Structure, Table]:
    """The prompt table of each structure: style to different texts, without the empty style.

    Args:
        structures: the texts of each.
        named: names and prompt table of everything that is there in some image.
    """
    merged: dict[str, dict[str, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for names, table in named:
        for style, texts in table.items():
            kept = merged[text_key(names[0])][style]
            kept.update(dict.fromkeys([t for t in ensure_tuple(texts) if not says_absent(t)][: MOST_TEXTS - len(kept)]))
    known = {
        key: {s: list(texts) for s, texts in by.items() if texts and s != EMPTY_STYLE} for key, by in merged.items()
    }
    return {structure: _table(structure, known) for structure in structures}


def _table(structure: Structure, known: Mapping[str, Table]) -> Table:
    """The table of a structure of the list, with the texts of all its names; or one made for a word."""
    own = [known[key] for key in dict.fromkeys(map(text_key, structure)) if key in known]
    others = own or [_renamed(table, name, structure[0]) for name, table in known.items()]
    joined: dict[str, dict[str, None]] = defaultdict(dict, {CLASS_STYLE: dict.fromkeys(structure)})
    for style, texts in (entry for table in others for entry in table.items() if own or entry[0] != CLASS_STYLE):
        joined[style].update(dict.fromkeys(texts[: MOST_TEXTS - len(joined[style])]))
    return {style: list(texts) for style, texts in joined.items() if texts}


def _renamed(table: Table, name: str, word: str) -> Table:
    """The prompts of a thing with another name in its place; those without its name are left out."""
    pattern = re.compile(rf"\b{re.escape(name)}\b", re.IGNORECASE)
    return {
        style: [pattern.sub(lambda _: word, t) for t in texts if pattern.search(t)] for style, texts in table.items()
    }


def _names(absent: Mapping[str, Any]) -> Structure:
    """The texts that name what a record says is absent; none if they say that there is nothing."""
    texts = tuple(ensure_tuple(absent["prompt"].get(CLASS_STYLE, ())))
    return () if says_absent(texts) else texts


def _given_absent(
    records: Sequence[Record], images: Mapping[str, Sequence[Part]], words: Sequence[str] | str | None
) -> dict[str, list[Structure]]:
    """Path of each image to what its records say is absent, and to further things, which are in no image."""
    taken = {text_key(text) for structure in known_structures(images) for text in structure}
    own = [(word,) for word in checked_words(words) if text_key(word) not in taken]
    return {record["image"]: [*filter(None, map(_names, record["absent"])), *own] for record in records}


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
