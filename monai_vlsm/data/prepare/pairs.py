# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Downloads with one file for each image and one for its mask, which share a part of their names."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath

from monai_vlsm.data.prepare.archive import Archive
from monai_vlsm.data.prepare.plan import Plan, Recipe, Wanted

__all__ = ["pair_plan"]

Maker = Callable[[Archive, str], bytes]


def pair_plan(
    archive: Archive,
    wanted: Sequence[Wanted],
    images: tuple[str, Maker],
    masks: tuple[str, Maker],
    mask_ending: str = "",
) -> Plan:
    """Recipes for the wanted records, found by the stem of their names.

    Args:
        archive: the download.
        wanted: records of the official lists.
        images: regular expression of the images in the download, whose group ``key`` is the stem of the wanted name,
            and what makes the file of the layout.
        masks: the same for masks.
        mask_ending: what the stem of a wanted mask has behind the key.
    """
    image_of, mask_of = _members_by_key(archive, images[0]), _members_by_key(archive, masks[0])
    image_keys = {record.image: _stem(record.image) for record in wanted}
    mask_keys = {record.mask: _stem(record.mask).removesuffix(mask_ending) for record in wanted}
    return Plan(_recipes(archive, image_keys, image_of, images[1]), _recipes(archive, mask_keys, mask_of, masks[1]))


def _recipes(archive: Archive, keys: Mapping[str, str], members: Mapping[str, str], make: Maker) -> dict[str, Recipe]:
    found = {name: members[key.lower()] for name, key in keys.items() if key.lower() in members}
    return {name: Recipe((member,), partial(make, archive, member)) for name, member in found.items()}


def _members_by_key(archive: Archive, pattern: str) -> dict[str, str]:
    """Lower-case group ``key`` of a regular expression to the file that it matches; the first by name, if several."""
    expression = re.compile(pattern, re.IGNORECASE)
    found: dict[str, str] = {}
    for name in archive.names:
        match = expression.search(name)
        if match:
            found.setdefault(match["key"].lower(), name)
    return found


def _stem(name: str) -> str:
    return PurePosixPath(name).stem
