# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One function, three data sets: nothing kept, images kept, features kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.transforms import Compose, LoadImaged

from monai_vlsm.adapters import ShallowAdaptation
from monai_vlsm.caches import (
    CachedImageDataset,
    Caching,
    FeatureDataset,
    MixedTransformsError,
    cached_dataset,
    image_files,
)
from monai_vlsm.data import ImageFileReader
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.transforms import ResizeImaged, ToRGBd
from tests.serving.images import write_images

STEPS = [
    LoadImaged("image", reader=ImageFileReader(), ensure_channel_first=True, dtype=None),
    ToRGBd("image"),
    ResizeImaged("image", 32),
]


@pytest.fixture
def records(tmp_path: Path) -> list[dict[str, Any]]:
    return [{"image": str(write_images(tmp_path / "images") / name)} for name in ("wide.png", "square.png")]


def test_images(records: list[dict[str, Any]], tmp_path: Path) -> None:
    dataset = cached_dataset(records, STEPS, Caching(images="disk", folder=tmp_path))
    assert isinstance(dataset, CachedImageDataset)
    assert dataset[0]["image"].shape == (3, 32, 32)
    assert len(image_files(tmp_path / "images")) == 1
    read_once = cached_dataset(records, STEPS, Caching(images="disk", folder=tmp_path / "none"), images=False)
    assert torch.equal(read_once[0]["image"], dataset[0]["image"])
    assert not (tmp_path / "none").exists()


def test_features(records: list[dict[str, Any]], backbone: Path, tmp_path: Path) -> None:
    network = CLIPSegNet(backbone, ShallowAdaptation("v", width=4))
    caching = Caching(network, tmp_path / "cache", features=True)
    dataset = cached_dataset(records, STEPS, caching, batch_size=2)
    assert isinstance(dataset, FeatureDataset)
    assert dataset[1]["image"].shape == (3, 5, 12)
    assert len(cached_dataset([], STEPS, caching)) == 0
    with pytest.raises(ValueError, match="needs the network"):
        cached_dataset(records, STEPS, Caching(features=True))


def test_steps_within_steps(records: list[dict[str, Any]], tmp_path: Path) -> None:
    """A config may name a few steps together; what is kept, and its file, is the same."""
    for steps in (STEPS, Compose([Compose(STEPS[:2]), STEPS[2]])):
        dataset = cached_dataset(records, steps, Caching(images="disk", folder=tmp_path))
        assert dataset[1]["image"].shape == (3, 32, 32)
        assert len(dataset.transform.transforms) == 3
    assert len(image_files(tmp_path / "images")) == 1


def test_what_cannot_be_kept(records: list[dict[str, Any]]) -> None:
    with pytest.raises(MixedTransformsError, match="have none"):
        cached_dataset(records, STEPS[:2], Caching(images="memory"))
