# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Kvasir-SEG: ``images/*.jpg`` and ``masks/*.jpg``, both taken over as they are."""

from __future__ import annotations

from collections.abc import Sequence

from monai_vlsm.data.prepare.archive import Archive
from monai_vlsm.data.prepare.pairs import pair_plan
from monai_vlsm.data.prepare.pixels import copy
from monai_vlsm.data.prepare.plan import Family, Plan, Wanted

__all__ = ["FAMILY"]


def _plan(archive: Archive, wanted: Sequence[Wanted]) -> Plan:
    files = r"(^|/){}/(?P<key>[^/]+)\.jpe?g$"
    return pair_plan(archive, wanted, (files.format("images"), copy), (files.format("masks"), copy))


FAMILY = Family(_plan)
