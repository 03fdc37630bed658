# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CheXlocalize: ``gt_segmentations_{val,test}.json`` with run lengths, and the images of CheXpert."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from monai_vlsm.data.prepare.archive import Archive, ArchiveError
from monai_vlsm.data.prepare.pixels import copy, png
from monai_vlsm.data.prepare.plan import Family, Plan, Recipe, Wanted
from monai_vlsm.data.prepare.rle import decode_runs

__all__ = ["FAMILY"]

# CheXpert-v1.0-small has the same names in another size
IMAGE = re.compile(r"^(?!.*-small/)(.*/)?(patient\d{5})/(study\d+)/(view\d+_(?:frontal|lateral))\.jpe?g$", re.I)
RUNS = re.compile(r"(^|/)gt_segmentations_(val|test)\.json$", re.I)
SAME = {"lung_opacity": "airspace_opacity"}  # the makers use both names for one finding


def _plan(archive: Archive, wanted: Sequence[Wanted]) -> Plan:
    images = {"_".join(match.groups()[1:]): match.group() for match in map(IMAGE.match, archive.names) if match}
    masks = _masks(archive)
    keys = {record.mask: (_stem(record.image), _finding(record)) for record in wanted}
    return Plan(
        {r.image: _image(archive, images[_stem(r.image)]) for r in wanted if _stem(r.image) in images},
        {name: masks[key] for name, key in keys.items() if key in masks},
    )


def _image(archive: Archive, member: str) -> Recipe:
    return Recipe((member,), partial(copy, archive, member))


def _masks(archive: Archive) -> dict[tuple[str, str], Recipe]:
    """Image and finding to its mask."""
    found: dict[tuple[str, str], Recipe] = {}
    for member in filter(RUNS.search, archive.names):
        for image, findings in _read(archive, member).items():
            for finding, runs in findings.items():
                slug = finding.strip().lower().replace(" ", "_")
                found[image, SAME.get(slug, slug)] = Recipe((member,), partial(_mask, runs, f"{image}, {finding}"))
    return found


def _read(archive: Archive, member: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        table = json.loads(archive.read(member))
    except ValueError as error:
        raise ArchiveError(f"{member}: expected JSON, found {error}") from error
    if not isinstance(table, dict) or not all(isinstance(findings, dict) for findings in table.values()):
        raise ArchiveError(f"{member}: expected a table of images, each a table of findings")
    return table


def _mask(runs: Any, where: str) -> bytes:
    try:
        return png(decode_runs(runs["size"], runs["counts"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ArchiveError(f"{where}: expected size and counts of a mask, found {error}") from error


def _stem(name: str) -> str:
    return PurePosixPath(name).stem


def _finding(record: Wanted) -> str:
    return _stem(record.mask).removeprefix(f"{_stem(record.image)}_")


FAMILY = Family(_plan)
