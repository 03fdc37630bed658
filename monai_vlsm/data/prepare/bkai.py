# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""BKAI-IGH NeoPolyp: ``train/`` and ``train_gt/``; red and green polyps become one class."""

from __future__ import annotations

from collections.abc import Sequence

from monai_vlsm.data.prepare.archive import Archive
from monai_vlsm.data.prepare.pairs import pair_plan
from monai_vlsm.data.prepare.pixels import copy, jpeg_mask, structure
from monai_vlsm.data.prepare.plan import Family, Plan, Wanted

__all__ = ["FAMILY"]


def _united(archive: Archive, member: str) -> bytes:
    """Grey mask of both classes: the brightest channel counts. The official names ask for JPEG."""
    with archive.paths(member) as [path]:
        return jpeg_mask(structure(path, member))


def _plan(archive: Archive, wanted: Sequence[Wanted]) -> Plan:
    files = r"(^|/){}/(?P<key>[0-9a-f]{{32}})\.jpe?g$"
    return pair_plan(archive, wanted, (files.format("train"), copy), (files.format("train_gt"), _united))


FAMILY = Family(_plan)
