# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A SANNet of a few thousand weights beside the tiny CLIP of `tests.tiny`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.networks import san

SIDE = {"patch_size": 16, "width": 24, "depth": 8, "heads": 3, "queries": 6}
SIZE = 64  # 16 patches for the side network, 4 for CLIP


def shrink_side(patch: pytest.MonkeyPatch) -> None:
    """Give folders a side network of few channels, where its size does not matter."""
    read = san.load_san_architecture

    def shrunk(backbone: str | Path) -> dict[str, Any]:
        return {**read(backbone), "side": SIDE, "mask_width": 8}

    patch.setattr(san, "load_san_architecture", shrunk)
