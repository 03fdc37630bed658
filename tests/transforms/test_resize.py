# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Squares of one size: no aliasing, no dark border, masks in their place."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms.spatial.functional import resize as monai_resize

from monai_vlsm.transforms import (
    ResizeImage,
    ResizeImageD,
    ResizeImaged,
    ResizeImageDict,
)
from tests.transforms.geometry import affine, volume

SHAPES = [(60, 90), (20, 16), (32, 32), (8, 100), (40, 50, 7), (16, 20, 1), (1, 1)]


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [torch.as_tensor, MetaTensor])
def test_size(shape: tuple[int, ...], mode: str, kind: Any) -> None:
    image = kind(torch.rand(2, *shape))
    transform = ResizeImage(32, mode)
    out = transform(image)
    assert out.shape == (2, 32, 32, *shape[2:])
    assert out.dtype == torch.float32
    assert out.min() >= 0 and out.max() <= 1
    if kind is MetaTensor:
        assert transform.inverse(out).shape == image.shape


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("shape", SHAPES)
def test_constant_stays_constant_up_to_the_border(shape: tuple[int, ...], mode: str) -> None:
    out = ResizeImage(32, mode)(torch.ones(1, *shape))
    assert torch.allclose(out, torch.ones_like(out))


def test_no_aliasing() -> None:
    checks = torch.arange(96).remainder(2).float().expand(1, 96, 96).contiguous()
    out = ResizeImage(32)(checks)
    assert (out[..., 2:-2] - 0.5).abs().max() < 0.2
    assert ResizeImage(32, "nearest")(checks).unique().tolist() in ([0], [1], [0, 1])


def test_slices_do_not_mix() -> None:
    source = torch.rand(1, 60, 90, 5)
    out = ResizeImage(32)(source)
    for index in range(5):
        assert torch.allclose(out[..., index], ResizeImage(32)(source[..., index]))


def test_nearest_keeps_labels_and_their_place() -> None:
    mask = torch.zeros(1, 96, 96)
    mask[:, 31:61, 13:49] = 1  # beginning in the middle of the larger pixels
    out = ResizeImage(32, "nearest")(mask)
    assert out.unique().tolist() == [0, 1]
    assert torch.equal(out.nonzero().amin(0), torch.tensor([0, 10, 4]))
    assert torch.equal(out.nonzero().amax(0), torch.tensor([0, 19, 15]))
    assert out.sum() == 10 * 12


@pytest.mark.parametrize("shape", [(60, 90), (60, 90, 4)])
def test_affine_as_monai_has_it(shape: tuple[int, ...]) -> None:
    source = MetaTensor(torch.rand(1, *shape), affine=affine("LAS"))
    size = (32, 32, *shape[2:])
    expected = monai_resize(source, size, "bilinear", False, torch.float32, len(shape), False, None, False, {})
    transform = ResizeImage(32)
    out = transform(source)
    assert torch.allclose(out.affine, expected.affine)
    assert torch.allclose(transform.inverse(out).affine, source.affine)
    assert torch.allclose(source.affine, affine("LAS"))


@pytest.mark.parametrize(("size", "mode", "message"), [(0, "bilinear", "size must be"), (8, "area", "one of bilinear")])
def test_wrong_settings(size: int, mode: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResizeImage(size, mode)
    with pytest.raises(ValueError, match=message):
        ResizeImaged(["a", "b"], size, ("nearest", mode))


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match=r"expected \(C, H, W\) or .*got shape \(4, 4\)"):
        ResizeImage(8)(torch.zeros(4, 4))
    with pytest.raises(ValueError, match="one of bilinear, nearest, got 'cubic'"):
        ResizeImage(8)(torch.zeros(1, 4, 4), mode="cubic")
    with pytest.raises(ValueError, match=r"3.*2|2.*3"):
        ResizeImaged(["a", "b"], 8, ("nearest", "nearest", "nearest"))


def test_a_mode_for_each_key() -> None:
    record = {"image": torch.rand(1, 20, 30), "label": (torch.rand(1, 20, 30) > 0.5).float()}
    out = ResizeImaged(["image", "label"], size=8, mode=("bilinear", "nearest"))(record)
    assert torch.equal(out["image"], ResizeImage(8, "bilinear")(record["image"]))
    assert torch.equal(out["label"], ResizeImage(8, "nearest")(record["label"]))


def test_pickles() -> None:
    record = {"image": volume("RAS", (5, 6, 3))}
    transform = ResizeImaged("image", size=8)
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(record)["image"], transform(record)["image"])


def test_missing_key() -> None:
    with pytest.raises(KeyError, match="image"):
        ResizeImaged("image", size=8)({})
    assert ResizeImaged("image", size=8, allow_missing_keys=True)({}) == {}


def test_aliases() -> None:
    assert ResizeImageD is ResizeImageDict is ResizeImaged


@pytest.mark.parametrize("shape", [(3, 40, 60), (3, 200, 150), (1, 20, 25), (3, 40, 60, 2)])
def test_eight_bits_stay_eight_bits(shape: tuple[int, ...]) -> None:
    """Rounded by half a grey level at most, and only where the image is marked and bilinear."""
    values = (torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 255).round() / 255
    marked, other = (MetaTensor(values, meta={"eight_bit": mark}) for mark in (True, False))
    exact = ResizeImage(32)(values.clone()).as_tensor()
    resizer = ResizeImage(32)
    rounded = resizer(marked)
    assert torch.equal(rounded.as_tensor(), (exact * 255).round() / 255)
    assert 0.4 / 255 < (rounded.as_tensor() - exact).abs().max() <= 0.501 / 255
    assert torch.equal(ResizeImage(32)(other).as_tensor(), exact)
    assert torch.equal(ResizeImage(32, "nearest")(marked).as_tensor(), ResizeImage(32, "nearest")(values))
    prediction = MetaTensor(torch.rand(shape[0], 32, 32, *shape[3:])).copy_meta_from(rounded)
    restored = resizer.inverse(prediction).as_tensor()
    assert not torch.equal((restored * 255).round() / 255, restored)
