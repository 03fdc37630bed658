# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Packed images: equal to the bit, in the fewest bytes, readable without pickled code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from monai_vlsm.caches import pack, unpack
from monai_vlsm.transforms import ResizeImaged

GENERATOR = torch.Generator().manual_seed(0)
GREY = torch.arange(256).float().reshape(1, 16, 16) / 255  # all values that an image of 8 bits can have
CASES = {
    "all grey levels": (GREY, "bytes", 256),
    "mask": ((torch.rand(2, 5, 7, generator=GENERATOR) > 0.5).float(), "bits", 9),
    "empty mask": (torch.zeros(1, 3, 3), "bits", 2),
    "16 bits": (torch.rand(3, 4, 4, generator=GENERATOR), "same", 192),
    "one value between": (torch.cat([GREY.flatten(), torch.tensor([0.5])]), "same", 257 * 4),
    "above 1": (GREY * 2, "same", 1024),
    "below 0": (-GREY, "same", 1024),
    "NaN": (torch.full((1, 2, 2), torch.nan), "same", 16),
    "integers": (torch.arange(4).reshape(1, 2, 2), "same", 32),
}


@pytest.mark.parametrize(("image", "kind", "size"), CASES.values(), ids=list(CASES))
def test_exact_and_small(image: torch.Tensor, kind: str, size: int) -> None:
    packed = pack(image)
    restored = unpack(packed)
    assert packed["kind"] == kind
    assert packed["values"].nbytes == size
    assert restored.dtype == image.dtype
    assert restored.shape == image.shape
    assert torch.equal(restored.nan_to_num(9), image.nan_to_num(9))


@pytest.mark.parametrize("name", CASES)
def test_memory_of_its_own(name: str) -> None:
    packed = pack(CASES[name][0].clone())
    first = unpack(packed)
    expected = first.clone()
    first.fill_(7)
    assert torch.equal(unpack(packed).nan_to_num(9), expected.nan_to_num(9))


def noise() -> MetaTensor:
    meta = {
        "filename_or_obj": "a.png",
        "spatial_shape": np.array([16, 16]),
        "original_channel_dim": -1,
        "eight_bit": True,
        "patient": "name",
    }
    return MetaTensor(GREY.expand(3, 16, 16).clone(), meta=meta)


@pytest.mark.parametrize("through_a_file", [False, True])
def test_meta_and_inverse(through_a_file: bool, tmp_path: Path) -> None:
    transform = Compose([ResizeImaged("image", 8)])
    image = transform({"image": noise()})["image"]
    packed = pack(image)
    if through_a_file:
        torch.save(packed, tmp_path / "a.pt")
        packed = torch.load(tmp_path / "a.pt", weights_only=True)
    restored = unpack(packed)
    assert isinstance(restored, MetaTensor)
    assert torch.equal(restored.as_tensor(), image.as_tensor())
    assert torch.equal(restored.affine, image.affine)
    assert restored.meta["filename_or_obj"] == "a.png"
    assert isinstance(restored.meta["spatial_shape"], np.ndarray)
    assert restored.meta["eight_bit"] is True
    assert "patient" not in restored.meta
    pred = MetaTensor(torch.ones(1, 8, 8)).copy_meta_from(restored)
    another = Compose([ResizeImaged("image", 8)])  # a later process has other instances
    invert = Invertd("pred", another, orig_keys="image", nearest_interp=False)
    assert invert({"image": restored, "pred": pred})["pred"].shape == (1, 16, 16)
