# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Preprocessing, network and MONAI's Invertd together: predictions lie on the original image."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.transforms import Compose, Invertd, LoadImaged

from monai_vlsm.data import ImageFileReader
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.transforms import OrientVolumed, ResizeImaged, ToRGBd
from tests.transforms.geometry import affine, volume


def corner(shape: tuple[int, ...], shift: int) -> torch.Tensor:
    """White where the rows are low, the columns high and the slices low; black elsewhere."""
    source = torch.zeros(1, *shape)
    slices = slice(None) if len(shape) == 2 else slice(max(shape[2] // 2, 1))
    source.view(*shape, -1)[: shape[0] // 2, shape[1] // 2 + shift :, slices] = 1
    return source


def thresholded(image: torch.Tensor) -> torch.Tensor:
    """A network: the first channel as logits, and its opposite as second structure."""
    return torch.cat([image[:, :1] * 20 - 10, 10 - image[:, :1] * 20], dim=1)


def post(preprocessing: Compose) -> Invertd:
    return Invertd(keys="pred", transform=preprocessing, orig_keys="image", nearest_interp=False)


ROUNDS = [  # name, affine codes, shapes of a batch
    ("image.png", None, [(60, 90), (90, 60), (32, 32)]),
    ("volume.nii.gz", "RAS", [(40, 50, 7)]),
    ("volume.nii.gz", "LPI", [(40, 50, 7), (30, 20, 7)]),
    ("volume.nii.gz", "SRP", [(40, 50, 7)]),
    ("slice.nii.gz", "RAS", [(40, 50, 1)]),
    ("slice.nii.gz", "LSA", [(40, 50)]),
    ("image.dcm", "LPS", [(40, 50)]),
]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("name", "codes", "shapes"), ROUNDS)
def test_round_trip(name: str, codes: str | None, shapes: list[tuple[int, ...]], workers: int) -> None:
    """Preprocessing, network, decollate, Invertd: masks lie on the original array, corner on corner."""
    records = []
    for index, shape in enumerate(shapes):
        values = corner(shape, shift=index)
        matrix = torch.eye(4) if codes is None else affine(codes)
        records.append({"image": MetaTensor(values, affine=matrix, meta={"filename_or_obj": name})})
    preprocessing = Compose([ToRGBd("image"), OrientVolumed("image"), ResizeImaged("image", size=32)])
    loader = DataLoader(Dataset(records, preprocessing), batch_size=len(shapes), num_workers=workers)
    (batch,) = list(loader)
    batch["pred"] = PromptInferer(cpu_autocast=False, slice_batch=3)(batch["image"], thresholded).sigmoid()
    for record, item in zip(records, decollate_batch(batch), strict=True):
        pred = post(preprocessing)(item)["pred"]
        source = record["image"]
        assert pred.shape == (2, *source.shape[1:])
        assert torch.allclose(pred.affine, source.affine)
        wrong = (pred[0] > 0.5).as_tensor() != (source[0] > 0.5).as_tensor()
        edge = 1.5 * (source.shape[1] + source.shape[2]) / 2 * (source.shape[3] if source.ndim == 4 else 1)
        assert wrong.sum() <= edge  # only pixels beside the edge may differ
        torch.testing.assert_close(pred[1].as_tensor(), 1 - pred[0].as_tensor(), atol=1e-6, rtol=0)


def test_round_trip_without_a_change_of_size_is_exact() -> None:
    source = volume("SRP", (5, 6, 8))
    preprocessing = Compose([OrientVolumed("image")])
    item = preprocessing({"image": source})
    item["pred"] = item["image"].clone()
    assert torch.equal(post(preprocessing)(item)["pred"].as_tensor(), source.as_tensor())


def test_inverse_of_probabilities_is_bilinear() -> None:
    """As nearest the result would have as many values as the small mask."""
    preprocessing = Compose([ResizeImaged("image", size=8)])
    item = preprocessing({"image": MetaTensor(torch.rand(1, 64, 64))})
    item["pred"] = (item["image"] > 0.5).float()
    assert len(post(preprocessing)(item)["pred"].unique()) > 10
    item["pred"] = (item["image"] > 0.5).float()
    nearest = Invertd("pred", preprocessing, "image", nearest_interp=True)(item)
    assert nearest["pred"].unique().tolist() == [0, 1]


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 4)])
def test_nifti_files(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """What the reader makes of real files, through the whole chain and back."""
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    nib.save(nib.Nifti1Image(values, affine("LAS").numpy()), tmp_path / "a.nii.gz")
    preprocessing = Compose(
        [
            LoadImaged("image", reader=ImageFileReader(), ensure_channel_first=True, dtype=None),
            ToRGBd("image"),
            OrientVolumed("image"),
            ResizeImaged("image", size=64),
        ]
    )
    item = preprocessing({"image": str(tmp_path / "a.nii.gz")})
    assert item["image"].shape == (3, 64, 64, *shape[2:])
    item["pred"] = item["image"].clone()
    back = post(preprocessing)(item)["pred"]
    assert back.shape == (3, *shape)
    assert np.allclose(back.affine.numpy(), affine("LAS").numpy())
    assert np.abs(back[0].numpy() * values.max() - values).max() < 0.2 * values.max()
    assert np.corrcoef(back[0].numpy().ravel(), values.ravel())[0, 1] > 0.99
