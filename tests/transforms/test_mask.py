# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Masks for every kind of file, and what is refused."""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image

from monai_vlsm.transforms import (
    BinarizeMask,
    BinarizeMaskD,
    BinarizeMaskd,
    BinarizeMaskDict,
)

META = {"filename_or_obj": "dir/a.png"}
NAN, INF = float("nan"), float("inf")


def image(values: Any, dtype: torch.dtype, channels: int = 1) -> MetaTensor:
    """One row of values, the same in each channel."""
    row = torch.tensor(values).to(dtype)
    return MetaTensor(row.expand(channels, 1, len(values)).clone(), meta=dict(META))


def jpeg(mask: np.ndarray, quality: int) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


MASKS = [  # dtype, values, expected
    (torch.uint8, [0, 0, 0], [0, 0, 0]),
    (torch.uint8, [0, 1, 1], [0, 1, 1]),
    (torch.uint8, [1, 1, 1], [1, 1, 1]),
    (torch.uint8, [0, 255, 0], [0, 1, 0]),
    (torch.uint8, [255, 255, 255], [1, 1, 1]),
    (torch.uint8, [3, 130, 250], [0, 1, 1]),
    (torch.uint8, [7, 120, 255], [0, 0, 1]),
    (torch.uint8, [250, 253, 255], [1, 1, 1]),
    (torch.uint8, [0, 38, 38], [0, 1, 1]),  # index of a palette
    *((torch.uint8, [0, value, 0], [0, 1, 0]) for value in (1, 2, 3, 5, 7, 19, 20, 21, 100, 254)),
    (torch.float32, [0, 5, 0], [0, 1, 0]),
    (torch.float32, [0, 5, 1.25], [0, 1, 0]),  # resampled
    (torch.int16, [0, 1000, 0], [0, 1, 0]),
    (torch.uint8, [1, 4, 1], [0, 1, 0]),
    (torch.uint8, [0, 21, 1], [0, 1, 0]),
    (torch.uint8, [9, 9, 9], [1, 1, 1]),
    (torch.bool, [0, 1, 1], [0, 1, 1]),
    (torch.uint16, [0, 65535, 400], [0, 1, 0]),
    (torch.int16, [0, 1, 0], [0, 1, 0]),
    (torch.int32, [0, 255, 255], [0, 1, 1]),
    (torch.float32, [0, 1, 0.4], [0, 1, 0]),
    (torch.float32, [0, 1.02, 0.6], [0, 1, 1]),  # overshoot of a resampled mask
    (torch.float64, [0, 255, 100], [0, 1, 0]),
]


@pytest.mark.parametrize(("dtype", "values", "expected"), MASKS)
def test_masks(dtype: torch.dtype, values: Any, expected: Any) -> None:
    out = BinarizeMask()(image(values, dtype))
    assert out.dtype == torch.float32
    assert out.flatten().tolist() == expected
    assert out.meta["filename_or_obj"] == "dir/a.png"
    again = BinarizeMask()(out)
    assert torch.equal(again, out)


@pytest.mark.parametrize("quality", [30, 60, 95])
@pytest.mark.parametrize("level", [255, 128])
def test_jpeg_masks(quality: int, level: int) -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[16:40, 24:48] = level
    out = BinarizeMask()(jpeg(mask, quality)[None])
    assert torch.equal(out[0], torch.from_numpy((mask > 0).astype(np.float32)))


@pytest.mark.parametrize("values", [[0, 1, 2], [0, 3, 1], [0, 20, 1], [1, 2, 3], [0.0, 1.0, 2.0]])
def test_labels_are_refused(values: Any) -> None:
    message = (
        f"dir/a.png: a mask must have two values, got a label map, .* from {min(values):g} to {max(values):g}: write"
    )
    with pytest.raises(ValueError, match=message):
        BinarizeMask()(image(values, torch.float32))


def test_each_channel_by_its_own_range() -> None:
    masks = torch.tensor([[0, 1, 1], [0, 255, 100], [0, 3, 3]], dtype=torch.uint8)[:, None]
    assert BinarizeMask()(masks)[:, 0].tolist() == [[0, 1, 1], [0, 1, 0], [0, 1, 1]]
    assert BinarizeMask()(masks[..., None]).shape == (3, 1, 3, 1)


WRONG_MASKS = [([-1, 0, 1], "got -1 to 1"), ([0, NAN, 1], "got nan"), ([0, INF, 1], "got 0 to inf")]


@pytest.mark.parametrize(("values", "message"), WRONG_MASKS)
def test_wrong_masks(values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"dir/a.png: a mask must hold finite values of 0 and more, {message}"):
        BinarizeMask()(image(values, torch.float32))


def test_empty_mask_array() -> None:
    with pytest.raises(ValueError, match=r"dir/a.png: the image is empty, got shape \(1, 0, 3\)"):
        BinarizeMask()(MetaTensor(torch.zeros(1, 0, 3), meta=dict(META)))


def test_dictionary_version() -> None:
    transform = pickle.loads(pickle.dumps(BinarizeMaskd(["a", "b"])))
    value = torch.rand(1, 3, 3)
    out = transform({"a": value, "b": value * 2, "c": 1})
    assert torch.equal(out["a"], BinarizeMask()(value))
    assert torch.equal(out["b"], BinarizeMask()(value * 2))
    assert out["c"] == 1
    with pytest.raises(KeyError, match="b"):
        transform({"a": value})
    assert "b" not in BinarizeMaskd(["a", "b"], allow_missing_keys=True)({"a": value})


def test_aliases() -> None:
    assert BinarizeMaskD is BinarizeMaskDict is BinarizeMaskd
