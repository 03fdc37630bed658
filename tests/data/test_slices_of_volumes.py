# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a training gets of a slice of a volume: its own pixels, in the brightness of the whole volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from monai_vlsm.caches import CachedImageDataset
from monai_vlsm.data import DatasetProblems, ImageFileReader
from monai_vlsm.data.volumes import to_stack
from monai_vlsm.transforms import BinarizeMaskd, ResizeImaged, ToRGBd
from tests.data.files import save_nifti

AFFINE = np.diag([-2.0, 3.0, 4.0, 1.0])  # of save_nifti
VALUES = np.random.default_rng(0).integers(-1000, 1000, (7, 8, 9)).astype(np.float32)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def shown(name: str, **options: Any) -> torch.Tensor:
    """The slice of an address in RGB."""
    load = Compose(
        [LoadImaged("image", ImageFileReader("image"), None), EnsureChannelFirstd("image"), ToRGBd("image", **options)]
    )
    image: torch.Tensor = load({"image": name})["image"]
    return image


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_brightness_is_that_of_the_volume(plane: str, tmp_path: Path) -> None:
    file = save_nifti(VALUES, tmp_path / "a.nii.gz")
    image, low = shown(f"{file}::{plane}=3"), VALUES.min()
    expected = (to_stack(VALUES, AFFINE, plane)[3] - low) / (VALUES.max() - low)
    assert image.shape == (3, *expected.shape)
    np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-6)


def test_padding_and_nan_are_black_and_do_not_count(tmp_path: Path) -> None:
    values = VALUES.copy()
    values[:, :2], values[:, :, 4], values[3, 5, 5] = -3024, np.nan, np.nan
    inside = values[np.isfinite(values) & (values > -3024)]
    image = shown(f"{save_nifti(values, tmp_path / 'a.nii.gz')}::axial=5")
    expected = np.nan_to_num(to_stack(values, AFFINE, "axial")[5], nan=-9999)
    expected = (expected.clip(inside.min()) - inside.min()) / (inside.max() - inside.min())
    np.testing.assert_allclose(image[0].numpy(), expected, atol=1e-6)
    nothing = shown(f"{tmp_path / 'a.nii.gz'}::axial=4")  # a slice without a value
    assert nothing.shape == (3, 8, 7) and not nothing.any()


def test_percentiles_are_those_of_the_volume(tmp_path: Path) -> None:
    file = save_nifti(np.abs(VALUES), tmp_path / "a.nii.gz")
    low, high = np.percentile(np.abs(VALUES)[np.abs(VALUES) > 0], (0.5, 99.5))
    expected = ((to_stack(np.abs(VALUES), AFFINE, "axial")[2] - low) / (high - low)).clip(0, 1)
    np.testing.assert_allclose(shown(f"{file}::axial=2", window="mr")[1].numpy(), expected, atol=1e-6)


def test_scaled_integers_are_shown_by_what_they_mean(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VALUES.astype(np.int16), AFFINE)
    image.header.set_slope_inter(0.5, -100.0)
    nib.save(image, tmp_path / "a.nii.gz")
    expected = ((to_stack(VALUES, AFFINE, "axial")[2] * 0.5 - 100 + 150) / 400).clip(0, 1)
    found = shown(f"{tmp_path / 'a.nii.gz'}::axial=2", window=(-150, 250))
    np.testing.assert_allclose(found[2].numpy(), expected, atol=1e-6)


def test_eight_bits_are_shown_as_they_are(tmp_path: Path) -> None:
    values = (np.abs(VALUES) / 10).astype(np.uint8)
    found = shown(f"{save_nifti(values, tmp_path / 'a.nii.gz')}::axial=2")
    np.testing.assert_allclose(found[0].numpy(), to_stack(values, AFFINE, "axial")[2] / 255, atol=1e-6)


def test_neighbours(tmp_path: Path) -> None:
    """Red, green and blue are the slices before, at and behind; at the ends the last one is repeated."""
    file = save_nifti(VALUES, tmp_path / "a.nii.gz")
    for index, near in ((0, [0, 0, 1]), (4, [3, 4, 5]), (8, [7, 8, 8])):
        image = shown(f"{file}::axial={index}::context=1", window=(-1000, 1000))
        np.testing.assert_allclose(image.numpy(), (to_stack(VALUES, AFFINE, "axial")[near] + 1000) / 2000, atol=1e-6)


@pytest.mark.parametrize("shape", [(7, 8, 1), (7, 8)])
def test_one_slice(shape: tuple[int, ...], tmp_path: Path) -> None:
    file = save_nifti(VALUES[:, :, 0].reshape(shape), tmp_path / "a.nii.gz")
    assert shown(f"{file}::axial=0").shape == (3, 8, 7)
    with pytest.raises(RuntimeError) as caught:
        shown(f"{file}::axial=1")
    assert "no slice 1: there are 1, counted from 0" in str(caught.value.__cause__)


def test_several_volumes_need_a_channel(tmp_path: Path) -> None:
    file = save_nifti(np.stack([VALUES, VALUES * 2], -1), tmp_path / "a.nii.gz")
    image = shown(f"{file}::axial=2::channel=1", window=(-2000, 2000))
    np.testing.assert_allclose(image[0].numpy(), (to_stack(VALUES, AFFINE, "axial")[2] * 2 + 2000) / 4000, atol=1e-6)
    reader = ImageFileReader("image")
    with pytest.raises(DatasetProblems, match=r"a\.nii\.gz: .* 2 volumes; give FILE::channel=0 \.\. 1, or --channel"):
        reader.get_data(reader.read(f"{file}::axial=2"))


@pytest.mark.parametrize("cache", ["memory", "disk"])
def test_a_cached_slice_is_made_again_when_its_volume_changes(cache: str, tmp_path: Path) -> None:
    def first() -> tuple[torch.Tensor, torch.Tensor]:
        transforms = [
            LoadImaged("image", ImageFileReader("image"), None),
            LoadImaged("label", ImageFileReader("mask"), None),
            EnsureChannelFirstd(["image", "label"]),
            ToRGBd("image", window=(-1000, 1000)),
            BinarizeMaskd("label"),
            ResizeImaged(["image", "label"], size=16, mode=["bilinear", "nearest"]),
        ]
        record = {"image": f"{image}::axial=2", "label": f"{label}::axial=2::label=3"}
        item = CachedImageDataset([record], transforms, cache=cache, cache_dir=tmp_path / "images")[0]
        return item["image"], item["label"]

    image = save_nifti(VALUES, tmp_path / "a.nii.gz")
    label = save_nifti(np.full(VALUES.shape, 3, np.uint8), tmp_path / "b.nii.gz")
    before = first()
    assert before[1].all()
    for a, b in zip(first(), before, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    save_nifti(-VALUES, image)
    save_nifti(np.full(VALUES.shape, 2, np.uint8), label)
    after = first()
    assert not after[1].any()
    torch.testing.assert_close(after[0].as_tensor(), 1 - before[0].as_tensor(), rtol=0, atol=1e-5)
