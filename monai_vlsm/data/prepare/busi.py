# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""BUSI: ``benign (1).png`` with ``benign (1)_mask.png``, ``benign (1)_mask_1.png``, ...; becomes ``1_benign.png``."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import partial

from monai_vlsm.data.prepare.archive import Archive
from monai_vlsm.data.prepare.pixels import copy, mask_as_png
from monai_vlsm.data.prepare.plan import Family, Plan, Recipe, Wanted

__all__ = ["FAMILY"]

MEMBER = re.compile(r"(^|/)(?P<kind>benign|malignant|normal) \((?P<number>\d+)\)(?P<mask>_mask(_\d+)?)?\.png$", re.I)


def _plan(archive: Archive, wanted: Sequence[Wanted]) -> Plan:
    images: dict[str, str] = {}
    masks: dict[str, list[str]] = defaultdict(list)
    for member in archive.names:
        match = MEMBER.search(member)
        if match is None:
            continue
        name = f"{match['number']}_{match['kind'].lower()}.png"
        if match["mask"]:
            masks[name].append(member)
        else:
            images.setdefault(name, member)
    return Plan(
        {r.image: _copy(archive, images[r.image]) for r in wanted if r.image in images},
        {r.mask: _union(archive, masks[r.mask]) for r in wanted if r.mask in masks},
    )


def _copy(archive: Archive, member: str) -> Recipe:
    return Recipe((member,), partial(copy, archive, member))


def _union(archive: Archive, members: list[str]) -> Recipe:
    return Recipe(tuple(members), partial(mask_as_png, archive, *members))


FAMILY = Family(_plan)
