# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""DFU-2022: ``DFUC2022_train_images/*.jpg`` and ``DFUC2022_train_masks/*.png``."""

from __future__ import annotations

from collections.abc import Sequence

from monai_vlsm.data.prepare.archive import Archive
from monai_vlsm.data.prepare.pairs import pair_plan
from monai_vlsm.data.prepare.pixels import copy, mask_as_png
from monai_vlsm.data.prepare.plan import Family, Plan, Wanted

__all__ = ["FAMILY"]


def _plan(archive: Archive, wanted: Sequence[Wanted]) -> Plan:
    images = r"(^|/)(?P<key>\d{6})\.jpe?g$", copy
    masks = r"(^|/)(?P<key>\d{6})\.png$", mask_as_png
    return pair_plan(archive, wanted, images, masks)


FAMILY = Family(_plan)
