# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records that ask an image for other things than its own: does the text decide, and is "nothing" an answer?"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.data.absent import ClassPromptError, Part, Structure, absent_structures, named_and_empty, parts_by_image
from monai_vlsm.data.facts import KnownFiles
from monai_vlsm.prompts import CLASS

__all__ = ["Probe", "probe_records", "questions"]

logger = logging.getLogger(__name__)

KINDS = ("own", "other", "absent")


@dataclass(frozen=True)
class Probe:
    """One question to an image.

    Args:
        kind: ``"own"``: its own structure; ``"other"``: another structure of the image; ``"absent"``: something that is
            not in the image.
        record: name of the record that is asked about.
        prompt: the class prompt that is asked.
        style: of the prompt; empty if it is no entry of a table.
        tag: what the prompt gives away.
        own_prompt: class prompt of the record itself.
        own: channel of the record's own mask in ``"label"``.
        asked: channels of the structure that is asked for; none if it is absent.
    """

    kind: str
    record: str
    prompt: str
    style: str
    tag: str
    own_prompt: str
    own: int
    asked: tuple[int, ...]


def probe_records(
    records: Sequence[Mapping[str, Any]],
    words: Sequence[str] | str | None = None,
    kinds: Sequence[str] = ("other", "absent"),
    enabled: bool = True,
    files: KnownFiles | None = None,
) -> list[dict[str, Any]]:
    """One record for each image that has something to ask, with all its questions, so that it is encoded once.

    For each structure with a mask that is not empty: its own prompt, and that of the next structure of the image. For
    each record: something absent, another one for each record of an image as long as there are more. Nothing is drawn
    at random. Own prompts only serve to be compared with absent ones; where nothing is absent, nothing is asked.

    Args:
        records: as from :func:`monai_vlsm.data.load_datalist`.
        words: names of further things, which are in no image.
        kinds: which questions, of ``"own"``, ``"other"`` and ``"absent"``.
        enabled: False gives no records.
        files: what is known of files already; masks that are not known are decoded.

    Returns:
        records ``{"image", "label": paths of K masks, "prompt": P different texts, "dataset", "name", "probes"}``, the
        last a tuple of :class:`Probe`. The name is the path of the image. Nothing where class prompts do not name
        structures (a warning says so).

    Raises:
        ValueError: an unknown kind.
    """
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown:
        raise ValueError(f"unknown kinds of probes {', '.join(unknown)}, known: {', '.join(KINDS)}")
    if not enabled:
        return []
    images, known = parts_by_image(records), files or KnownFiles()
    try:
        absent = absent_structures(records, words, known)
    except ClassPromptError as error:
        logger.warning("no probes: %s", error)
        return []
    if "own" in kinds and not any(absent.values()):
        return []
    empty = named_and_empty(images, known)
    datasets = {record["image"]: str(record.get("dataset", "")) for record in records}
    found = [(image, parts, _probes(image, parts, absent[image], empty, kinds)) for image, parts in images.items()]
    return [_record(image, datasets[image], parts, probes) for image, parts, probes in found if probes]


def questions(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`probe_records` as a data set takes them, without ``"probes"``, which cannot be batched."""
    return [{key: value for key, value in record.items() if key != "probes"} for record in records]


def _record(image: str, dataset: str, parts: Sequence[Part], probes: Sequence[Probe]) -> dict[str, Any]:
    prompts = list(dict.fromkeys(probe.prompt for probe in probes))
    masks = [part.mask for part in parts]
    return {
        "image": image,
        "label": masks,
        "prompt": prompts,
        "dataset": dataset,
        "name": image,
        "probes": tuple(probes),
    }


def _probes(
    image: str, parts: Sequence[Part], absent: Sequence[Structure], empty: set[str], kinds: Sequence[str]
) -> list[Probe]:
    makers = {
        "own": lambda: _own(parts, empty),
        "other": lambda: _other(parts, empty),
        "absent": lambda: _absent(image, parts, absent),
    }
    return [probe for kind in KINDS if kind in kinds for probe in makers[kind]()]


def _present(parts: Sequence[Part], empty: set[str]) -> dict[Structure, tuple[int, ...]]:
    """The structures in an image, by their texts, and the channels of their masks."""
    present: dict[Structure, tuple[int, ...]] = {}
    for channel, part in enumerate(parts):
        if part.names and part.mask not in empty:
            present[part.names] = (*present.get(part.names, ()), channel)
    return present


def _own(parts: Sequence[Part], empty: set[str]) -> Iterator[Probe]:
    for channels in _present(parts, empty).values():
        part = parts[channels[0]]
        yield Probe("own", part.record, part.prompt, part.style, part.tag, part.prompt, channels[0], channels)


def _other(parts: Sequence[Part], empty: set[str]) -> Iterator[Probe]:
    present = _present(parts, empty)
    order = list(present)
    for channel, part in enumerate(parts):
        others = [names for names in order if not set(names) & set(part.names)]
        if part.names in present and others:
            following = order[order.index(part.names) :] + order
            asked = next(names for names in following if names in others)
            its = parts[present[asked][0]]
            yield Probe("other", part.record, its.prompt, its.style, its.tag, part.prompt, channel, present[asked])


def _absent(image: str, parts: Sequence[Part], absent: Sequence[Structure]) -> Iterator[Probe]:
    start = zlib.crc32(Path(image).name.encode())  # not hash(), which differs from process to process
    for channel, part in list(enumerate(parts))[: len(absent)]:
        prompt = absent[(start + channel) % len(absent)][0]
        yield Probe("absent", part.record, prompt, "p1", CLASS, part.prompt, channel, ())
