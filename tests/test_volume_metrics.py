# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from monai.metrics import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from scipy import ndimage

from monai_vlsm import metrics
from monai_vlsm.metrics import VolumeScores, volume_scores

THICK = (5.0, 0.8, 0.8)  # mm between slices, rows and columns


def box(*ends: int, shape: tuple[int, int, int] = (16, 16, 16)) -> np.ndarray:
    """A filled box from slice, row, column to slice, row, column, the latter not included."""
    mask = np.zeros(shape, dtype=bool)
    if ends:
        mask[tuple(slice(*pair) for pair in zip(ends[:3], ends[3:], strict=True))] = True
    return mask


def monai_scores(pred: np.ndarray, truth: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> list[float]:
    masks = [torch.as_tensor(mask)[None, None].float() for mask in (pred, truth)]
    hd95 = compute_hausdorff_distance(*masks, include_background=True, percentile=95, spacing=spacing)
    dice = compute_surface_dice(*masks, [tolerance], include_background=True, spacing=spacing, use_subvoxels=True)
    return [float(hd95), float(dice)]


@pytest.mark.parametrize(
    ("pred", "truth", "expected"),
    [
        (box(), box(), (1, 1, 0, 1)),
        (box(), box(4, 4, 4, 8, 8, 8), (0, 0, 16 * math.sqrt(25 + 2 * 0.64), 0)),
        (box(4, 4, 4, 8, 8, 8), box(), (0, 0, 16 * math.sqrt(25 + 2 * 0.64), 0)),
        (box(4, 4, 4, 8, 8, 8), box(4, 4, 4, 8, 8, 8), (1, 1, 0, 1)),
        (box(0, 0, 0, 16, 16, 16), box(0, 0, 0, 16, 16, 16), (1, 1, 0, 1)),
        (box(3, 3, 3, 4, 4, 4), box(13, 3, 3, 14, 4, 4), (0, 0, 50, 0)),
        (box(3, 3, 3, 4, 4, 4), box(3, 3, 13, 4, 4, 14), (0, 0, 8, 0)),
    ],
)
def test_what_can_be_told_by_hand(pred: np.ndarray, truth: np.ndarray, expected: tuple[float, ...]) -> None:
    assert volume_scores(pred, truth, THICK, 1.0) == pytest.approx(expected, abs=1e-5)


def test_a_slice_too_far() -> None:
    truth, pred = box(4, 4, 4, 12, 12, 12), box(5, 4, 4, 13, 12, 12)
    found = volume_scores(pred, truth, THICK, 1.0)
    assert found[:3] == pytest.approx((7 / 8, 7 / 9, 5.0))
    assert found.surface_dice == pytest.approx(monai_scores(pred, truth, THICK, 1.0)[1])
    assert 0.85 < found.surface_dice < 0.95  # the ends are lost, and what of the sides lies beyond the other one
    assert volume_scores(pred, truth, (1.0, 1.0, 1.0), 1.0)[2:] == (1.0, 1.0)
    assert volume_scores(pred, truth, THICK, 5.0).surface_dice == 1.0


@pytest.mark.parametrize("dense", [0.0, 0.05, 10.0], ids=["transform", "as it is", "tree"])
@pytest.mark.parametrize("smooth", [0, 2])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), THICK])
def test_agrees_with_monai(
    spacing: tuple[float, float, float], smooth: int, dense: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "_DENSE", dense)
    generator = np.random.default_rng(smooth)
    for share in (0.02, 0.3, 0.6):
        pred, truth = (ndimage.gaussian_filter(generator.random((12, 18, 15)), smooth) for _ in range(2))
        pred, truth = pred < np.quantile(pred, share), truth < np.quantile(truth, share)
        expected = monai_scores(pred, truth, spacing, 1.0)
        assert volume_scores(pred, truth, spacing, 1.0)[2:] == pytest.approx(expected, rel=1e-5)


def test_more_distances_than_torch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    pred, truth = generator.random((2, 10, 10, 10)) > 0.5
    before = volume_scores(pred, truth, THICK)
    monkeypatch.setattr(metrics, "_MOST", 10)
    assert volume_scores(pred, truth, THICK) == pytest.approx(before)


def test_only_the_box_of_both_masks_counts() -> None:
    small = volume_scores(box(1, 2, 3, 5, 9, 8), box(2, 2, 3, 6, 9, 9), THICK)
    apart = [np.pad(mask, 9) for mask in (box(1, 2, 3, 5, 9, 8), box(2, 2, 3, 6, 9, 9))]
    assert volume_scores(*apart, THICK) == small


def test_scores_are_plain_numbers() -> None:
    assert {type(score) for score in volume_scores(box(1, 2, 3, 5, 9, 8), box(2, 2, 3, 6, 9, 9), THICK)} == {float}
    assert isinstance(volume_scores(box(), box(), THICK), VolumeScores)


@pytest.mark.parametrize(("shape", "spacing"), [((16, 16, 15), THICK), ((16, 16, 16), (1.0, 1.0))])
def test_what_does_not_fit(shape: tuple[int, int, int], spacing: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected two masks of three axes"):
        volume_scores(box(), box(shape=shape), spacing)
