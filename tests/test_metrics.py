# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from monai.handlers import IgniteMetricHandler, from_engine
from monai.metrics import DiceMetric, MeanIoU
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.utils import get_mask_edges
from torch import Tensor

from monai_vlsm.handlers import per_structure
from monai_vlsm.metrics import Hausdorff95Metric, OverlapMetric, _edge
from tests.handlers import toy

DIAGONAL = 50.0  # of an image of 30 x 40


def mask(*box: int, size: tuple[int, int] = (30, 40)) -> Tensor:
    """Empty, or a filled box top, bottom, left, right."""
    image = torch.zeros(size)
    if box:
        image[box[0] : box[1], box[2] : box[3]] = 1
    return image


CASES = [  # prediction, truth, Dice, IoU, HD95
    (mask(), mask(), 1.0, 1.0, 0.0),
    (mask(), mask(5, 15, 5, 15), 0.0, 0.0, DIAGONAL),
    (mask(5, 15, 5, 15), mask(), 0.0, 0.0, DIAGONAL),
    (mask(5, 15, 5, 15), mask(5, 15, 5, 15), 1.0, 1.0, 0.0),
    (mask(0, 30, 0, 40), mask(0, 30, 0, 40), 1.0, 1.0, 0.0),
    (mask(5, 15, 5, 15), mask(5, 15, 8, 18), 0.7, 70 / 130, 3.0),
    (mask(5, 6, 5, 6), mask(5, 6, 15, 16), 0.0, 0.0, 10.0),
    (mask(0, 1, 0, 1), mask(29, 30, 39, 40), 0.0, 0.0, math.hypot(29, 39)),
]


@pytest.mark.parametrize(("pred", "truth", "dice", "iou", "hd95"), CASES)
def test_rule_for_empty_masks(pred: Tensor, truth: Tensor, dice: float, iou: float, hd95: float) -> None:
    expected = [(DiceMetric(ignore_empty=False), dice), (MeanIoU(ignore_empty=False), iou), (Hausdorff95Metric(), hd95)]
    for metric, value in expected:
        metric(pred[None, None], truth[None, None])
        assert float(metric.aggregate()) == pytest.approx(value, abs=1e-5)


def test_every_mask_of_a_batch_has_its_own_score() -> None:
    preds, truths, *_, expected = zip(*CASES, strict=True)
    for shape in [(8, 1), (1, 8), (2, 4)]:
        pred, truth = (torch.stack(masks).reshape(*shape, 30, 40) for masks in (preds, truths))
        metric = Hausdorff95Metric()
        metric(pred, truth)
        assert torch.allclose(metric.get_buffer(), torch.tensor(expected).reshape(shape))
        assert float(metric.aggregate()) == pytest.approx(sum(expected) / 8)


def test_agrees_with_monai_on_masks_that_are_not_empty() -> None:
    generator = torch.Generator().manual_seed(1)
    pred, truth = (torch.rand(2, 3, 24, 24, generator=generator) > 0.7 for _ in range(2))
    metric = Hausdorff95Metric()
    metric(pred, truth)
    reference = compute_hausdorff_distance(pred, truth, include_background=True, percentile=95)
    assert torch.equal(metric.get_buffer(), reference)


BORDERS = [  # rows and columns of the prediction and of the truth, in 30 x 40 pixels
    ((0, 30, 0, 40), (5, 15, 5, 15)),
    ((0, 4, 0, 4), (26, 30, 36, 40)),
    ((0, 1, 0, 1), (0, 1, 0, 1)),
    ((0, 30, 3, 9), (0, 30, 5, 11)),
    ((12, 13, 0, 40), (2, 3, 7, 8)),
]


@pytest.mark.parametrize(("pred", "truth"), BORDERS)
def test_agrees_with_monai_at_the_borders(pred: tuple[int, ...], truth: tuple[int, ...]) -> None:
    pair = [mask(*place)[None, None] for place in (pred, truth)]
    metric = Hausdorff95Metric()
    metric(*pair)
    assert torch.equal(metric.get_buffer(), compute_hausdorff_distance(*pair, include_background=True, percentile=95))


def test_an_empty_prediction_makes_the_mean_worse() -> None:
    truth = mask(5, 15, 5, 15).expand(2, 1, -1, -1)
    poor, none = Hausdorff95Metric(), Hausdorff95Metric()
    poor(torch.stack([mask(5, 15, 9, 19), mask(5, 15, 25, 35)])[:, None], truth)
    none(torch.stack([mask(5, 15, 9, 19), mask()])[:, None], truth)
    assert none.aggregate() > poor.aggregate()


def test_volumes_and_lists_of_images() -> None:
    volume = torch.zeros(1, 1, 6, 8, 24)
    metric = Hausdorff95Metric()
    metric(volume, volume + 1)
    assert float(metric.aggregate()) == pytest.approx(26.0)
    metric.reset()
    metric([mask()[None], mask(size=(3, 4))[None]], [mask(1, 2, 1, 2)[None], mask(1, 2, 1, 2, size=(3, 4))[None]])
    assert metric.get_buffer().flatten().tolist() == [DIAGONAL, 5.0]


def test_empty_masks_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Hausdorff95Metric()(torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize(("pred", "truth"), [((1, 1, 8, 8), (1, 1, 8, 9)), ((2, 8), (2, 8))])
def test_shapes_that_disagree(pred: tuple[int, ...], truth: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must both be \(B, K, H, W\), got \([^)]+\) and \([^)]+\)"):
        Hausdorff95Metric()._compute_tensor(torch.zeros(pred), torch.zeros(truth))


def test_in_an_engine_nothing_is_left_out() -> None:
    engine = toy.evaluator(_Empty(), toy.records(2), [])
    engine.run()
    assert engine.state.metrics["val_hd95"] == pytest.approx(math.hypot(toy.SIZE, toy.SIZE))
    assert engine.state.metrics["val_dice"] == 0


@pytest.mark.parametrize(("transform", "fails"), [(from_engine, True), (per_structure, False)])
def test_images_with_different_numbers_of_structures(transform: object, fails: bool) -> None:
    handler = IgniteMetricHandler(Hausdorff95Metric(), output_transform=transform(["pred", "label"]))  # type: ignore
    items = [{"pred": torch.zeros(k, 6, 8), "label": torch.ones(k, 6, 8)} for k in (1, 3)]
    for item in items:
        handler.update(handler._output_transform([item]))
    if fails:
        with pytest.raises(TypeError, match="each tensor to be equal size"):
            handler.metric_fn.aggregate()
    else:
        assert handler.metric_fn.get_buffer().flatten().tolist() == [10.0] * 4


class _Empty(torch.nn.Module):
    """A network that sees nothing anywhere."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.full_like(image[:, :1], -5.0)


def blobs(count: int) -> list[tuple[Tensor, Tensor]]:
    """Masks of noise with smooth outlines, at the border too, each of another size."""
    generator, pairs = torch.Generator().manual_seed(0), []
    for number in range(count):
        size = (40 + number, 60)
        noise = torch.nn.functional.interpolate(torch.rand(1, 2, 5, 5, generator=generator), size, mode="bilinear")
        pairs.append(((noise[0, :1] > 0.5).float(), (noise[0, 1:] > 0.45).float()))
    return pairs


def test_overlap_is_that_of_monai() -> None:
    pairs = [*blobs(6), *((pred[None], truth[None]) for pred, truth, *_ in CASES)]
    pred, truth = ([one[side] for one in pairs] for side in (0, 1))
    for ours, theirs in (("dice", DiceMetric(ignore_empty=False)), ("iou", MeanIoU(ignore_empty=False))):
        metric = OverlapMetric(ours)
        assert torch.equal(metric(pred, truth), theirs(pred, truth))
        assert torch.equal(metric.aggregate(), theirs.aggregate())
    with pytest.raises(ValueError, match="kind must be 'dice' or 'iou', got 'f1'"):
        OverlapMetric("f1")
    with pytest.raises(ValueError, match=r"one shape, got \(1, 1, 2, 2\)"):
        OverlapMetric()(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 3))


def test_hd95_in_threads_with_our_outlines_is_that_of_monai() -> None:
    pairs = blobs(6)
    found = Hausdorff95Metric()([pred for pred, _ in pairs], [truth for _, truth in pairs])
    expected = [compute_hausdorff_distance(pred[None], truth[None], True, percentile=95) for pred, truth in pairs]
    assert torch.equal(found, torch.cat(expected).float())


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (20, 30), (6, 7, 8)])
def test_outlines_are_those_of_monai(shape: tuple[int, ...]) -> None:
    for seed in range(4):
        mask = np.random.default_rng(seed).random(shape) < 0.7
        assert np.array_equal(_edge(mask), get_mask_edges(mask, mask, crop=False)[0])
