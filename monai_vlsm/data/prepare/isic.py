# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""ISIC-2016: four folders or .zip files, masks with ``_Segmentation`` behind the name."""

from __future__ import annotations

from collections.abc import Sequence

from monai_vlsm.data.prepare.archive import Archive
from monai_vlsm.data.prepare.pairs import pair_plan
from monai_vlsm.data.prepare.pixels import copy, mask_as_png
from monai_vlsm.data.prepare.plan import Family, Plan, Wanted

__all__ = ["FAMILY"]


def _plan(archive: Archive, wanted: Sequence[Wanted]) -> Plan:
    images = r"(^|/)(?P<key>ISIC_\d{7})\.jpe?g$", copy
    masks = r"(^|/)(?P<key>ISIC_\d{7})_Segmentation\.png$", mask_as_png
    return pair_plan(archive, wanted, images, masks, mask_ending="_Segmentation")


FAMILY = Family(_plan)
