# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks with one bit for each pixel."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_vlsm.caches.records import PackedMask, pack_masks, unpack_masks, without_values


@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 8, 8), (1,)])
def test_masks_come_back(shape: tuple[int, ...]) -> None:
    mask = MetaTensor(torch.rand(shape).round(), meta={"filename_or_obj": "a.png"})
    mask.applied_operations.append({"class": "Resize", "id": 7})
    packed = pack_masks({"label": mask})
    found = unpack_masks(packed)["label"]
    assert isinstance(packed["label"], PackedMask)
    assert packed["label"].bits.nbytes == (mask.numel() + 7) // 8
    assert torch.equal(found.as_tensor(), mask.as_tensor())
    assert found.dtype == torch.float32
    assert found.meta["filename_or_obj"] == "a.png"
    assert found.applied_operations == mask.applied_operations
    found.meta["filename_or_obj"] = "b.png"
    assert unpack_masks(packed)["label"].meta["filename_or_obj"] == "a.png"


@pytest.mark.parametrize("value", [torch.tensor([0.0, 0.5]), torch.tensor([0, 1]), torch.empty(0), "text", None, [1]])
def test_other_values_stay(value: object) -> None:
    packed = pack_masks({"x": value})
    assert not isinstance(packed["x"], PackedMask)
    found = unpack_masks(packed)["x"]
    assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value


def test_plain_tensors() -> None:
    mask = torch.tensor([[1.0, 0.0, 1.0]])
    found = unpack_masks(pack_masks({"label": mask}))["label"]
    assert not isinstance(found, MetaTensor)
    assert torch.equal(found, mask)


def test_without_values() -> None:
    image = MetaTensor(torch.rand(3, 4, 4), meta={"name": "x"})
    stub = without_values(image)
    assert stub.numel() == 0
    assert stub.meta["name"] == "x"
    assert image.shape == (3, 4, 4)
