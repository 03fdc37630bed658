# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One function, three data sets: nothing kept, pictures kept, features kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from monai.transforms import LoadImaged

from monai_vlsm.adapters import ShallowAdaptation
from monai_vlsm.caches import FeatureDataset, MixedTransformsError, PictureDataset, cached_dataset, picture_files
from monai_vlsm.data import PictureReader
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.transforms import ResizePictured, ToRGBd
from tests.serving.images import write_images

STEPS = [
    LoadImaged("image", reader=PictureReader(), ensure_channel_first=True, dtype=None),
    ToRGBd("image"),
    ResizePictured("image", 32),
]


@pytest.fixture
def records(tmp_path: Path) -> list[dict[str, Any]]:
    return [{"image": str(write_images(tmp_path / "images") / name)} for name in ("wide.png", "square.png")]


def test_pictures(records: list[dict[str, Any]], tmp_path: Path) -> None:
    dataset = cached_dataset(records, STEPS, cache="disk", cache_dir=tmp_path / "cache")
    assert isinstance(dataset, PictureDataset)
    assert dataset[0]["image"].shape == (3, 32, 32)
    assert len(picture_files(tmp_path / "cache")) == 1


def test_features(records: list[dict[str, Any]], backbone: Path, tmp_path: Path) -> None:
    features = {"network": CLIPSegNet(backbone, ShallowAdaptation("v", width=4)), "folder": tmp_path / "cache"}
    dataset = cached_dataset(records, STEPS, features, batch_size=2, num_workers=0)
    assert isinstance(dataset, FeatureDataset)
    assert dataset[1]["image"].shape == (3, 5, 12)
    assert len(cached_dataset([], STEPS, features, num_workers=0)) == 0


def test_what_cannot_be_kept(records: list[dict[str, Any]]) -> None:
    with pytest.raises(MixedTransformsError, match="have none"):
        cached_dataset(records, STEPS[:2], cache="memory")
