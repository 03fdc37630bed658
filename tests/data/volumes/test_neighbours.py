# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from monai_vlsm.data.volumes import with_neighbours


@pytest.mark.parametrize("chunk", [1, 2, 3, 10])
@pytest.mark.parametrize("reach", [0, 1, 2])
@pytest.mark.parametrize("slices", [1, 2, 5, 7])
def test_each_slice_comes_once_between_its_neighbours(slices: int, reach: int, chunk: int) -> None:
    volume = torch.arange(slices * 6.0).reshape(slices, 2, 3)
    near = (torch.arange(slices)[:, None] + torch.arange(-reach, reach + 1)).clamp(0, slices - 1)
    assert torch.equal(torch.cat(list(with_neighbours(volume.split(chunk), reach))), volume[near])


def test_little_is_kept() -> None:
    parts = list(with_neighbours(torch.zeros(100, 4).split(8), 2))
    assert max(len(part) for part in parts) <= 8


def test_nothing_gives_nothing() -> None:
    assert list(with_neighbours([], 1)) == []
