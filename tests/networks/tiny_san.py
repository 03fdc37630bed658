# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A SANNet of a few thousand weights beside the tiny CLIP of `tests.tiny`, and what goes into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.networks import san
from tests import tiny

SIDE = {"patch_size": 16, "width": 24, "depth": 8, "heads": 3, "queries": 6}
SIZE = 64  # 16 patches for the side network, 4 for CLIP


def shrink_side(patch: pytest.MonkeyPatch) -> None:
    """Give folders a side network of few channels, where its size does not matter."""
    read = san.load_san_architecture

    def shrunk(backbone: str | Path) -> dict[str, Any]:
        return {**read(backbone), "side": SIDE, "mask_width": 8}

    patch.setattr(san, "load_san_architecture", shrunk)


def inputs(images: int = 2, prompts: int | None = None, length: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Images ``(B, 3, 64, 64)``, ids and mask ``(B, L)`` or ``(B, K, L)`` with texts of different lengths."""
    generator = torch.Generator().manual_seed(2)
    image = torch.randn(images, 3, SIZE, SIZE, generator=generator)
    end = tiny.config().text_config.eos_token_id
    rows = images * (prompts or 1)
    ids, mask = torch.full((rows, length), end), torch.zeros(rows, length, dtype=torch.int64)
    ids[:, 0] = end - 1
    for row in range(rows):
        words = 1 + row % (length - 3)
        ids[row, 1 : 1 + words] = torch.randint(0, end - 1, (words,), generator=generator)
        mask[row, : words + 2] = 1
    shape = (images, length) if prompts is None else (images, prompts, length)
    return image, ids.reshape(shape), mask.reshape(shape)
