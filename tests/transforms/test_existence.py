# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Existence scores, and no mask below the threshold."""

from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor

from monai_vlsm.transforms import ExistenceScored, existence_scores


def probabilities(*levels: float, size: int = 20, pixels: int = 4) -> torch.Tensor:
    """One channel for each level: that many pixels with it, all others 0.1."""
    maps = torch.full((len(levels), size, size), 0.1)
    for channel, level in enumerate(levels):
        maps[channel, 0, :pixels] = level
    return maps


@pytest.mark.parametrize(
    ("pixels", "share", "expected"),
    [(2, 0.005, 0.9), (400, 0.005, 0.9), (1, 0.005, 0.5), (1, 1e-9, 0.9), (4, 0.01, 0.9), (4, 0.02, 0.5)],
)
def test_mean_of_the_most_probable_pixels(pixels: int, share: float, expected: float) -> None:
    maps = torch.full((1, 20, 20), 0.1)
    maps.view(-1)[:pixels] = 0.9
    assert existence_scores(maps, share).tolist() == pytest.approx([expected])


def test_each_slice_for_itself() -> None:
    volume = torch.stack([probabilities(0.9, 0.3), probabilities(0.2, 0.8)], dim=-1)
    assert existence_scores(volume).tolist() == [pytest.approx([0.9, 0.2]), pytest.approx([0.3, 0.8])]


@pytest.mark.parametrize(
    ("threshold", "kept"), [(0.0, [True, True]), (0.3, [True, True]), (0.5, [True, False]), (0.95, [False, False])]
)
def test_masks_below_the_threshold_are_empty(threshold: float, kept: list[bool]) -> None:
    given = probabilities(0.9, 0.4)
    d = ExistenceScored("pred", threshold=threshold)({"pred": given, "name": "a"})
    assert d["existence"] == pytest.approx([0.9, 0.4])
    assert [bool(mask.any()) for mask in d["pred"]] == kept
    assert all(torch.equal(d["pred"][k], given[k]) for k in range(2) if kept[k])
    assert given[1].any()


def test_the_score_itself_is_enough() -> None:
    pred = torch.full((1, 4, 4), 0.5)
    assert ExistenceScored(threshold=0.5)({"pred": pred})["pred"].any()


def test_slices_are_emptied_one_by_one() -> None:
    volume = torch.stack([probabilities(0.9, 0.3), probabilities(0.2, 0.8)], dim=-1)
    d = ExistenceScored(threshold=0.5)({"pred": volume})
    assert d["existence"] == pytest.approx([0.9, 0.8])
    assert d["pred"].amax(dim=(1, 2)).tolist() == [pytest.approx([0.9, 0]), pytest.approx([0, 0.8])]


def test_meta_stays_for_the_inverse() -> None:
    pred = MetaTensor(probabilities(0.4), meta={"filename_or_obj": "x.png"}, applied_operations=[{"class": "Resize"}])
    d = ExistenceScored(threshold=0.5)({"pred": pred})
    assert d["pred"].meta["filename_or_obj"] == "x.png"
    assert d["pred"].applied_operations == [{"class": "Resize"}]
    assert type(d["existence"]) is list
    assert type(d["existence"][0]) is float


@pytest.mark.parametrize("threshold", [-0.1, 1.5])
def test_threshold_out_of_range(threshold: float) -> None:
    with pytest.raises(ValueError, match="existence_threshold must be from 0 to 1"):
        ExistenceScored(threshold=threshold)


def test_keys() -> None:
    with pytest.raises(ValueError, match="takes one key"):
        ExistenceScored(["pred", "label"])
    with pytest.raises(KeyError):
        ExistenceScored("pred")({"image": 1})
    assert ExistenceScored("pred", allow_missing_keys=True)({"image": 1}) == {"image": 1}
