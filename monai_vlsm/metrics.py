# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores with one stated rule for empty masks.

Of a prediction and a truth, both empty scores Dice 1, IoU 1, HD95 0, surface Dice 1; exactly one empty scores Dice 0,
IoU 0, surface Dice 0 and, as HD95, the diagonal of the image or volume. For Dice and IoU MONAI does so with
``DiceMetric(ignore_empty=False)`` and ``MeanIoU(ignore_empty=False)``, :class:`OverlapMetric` does in less time;
:class:`Hausdorff95Metric` is the missing third, and :func:`volume_scores` does all of it for one structure of a volume,
in millimetres.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.config import TensorOrList
from monai.metrics import HausdorffDistanceMetric, MeanIoU
from monai.metrics.utils import get_code_to_measure_table, get_surface_distance
from scipy import ndimage
from torch import Tensor

__all__ = ["TOLERANCE", "Hausdorff95Metric", "OverlapMetric", "VolumeScores", "volume_scores"]

TOLERANCE = 3.0
"""mm within which surfaces agree: what TotalSegmentator's own evaluation takes for all of its structures."""

_MOST = 2**24  # numbers that torch.quantile takes
_DENSE = 0.05  # points of both outlines in a box, as a share of its voxels, from which on they are many


class OverlapMetric(MeanIoU):
    """Dice or IoU of masks, equal to MONAI's ``DiceMetric`` and ``MeanIoU`` with ``ignore_empty=False``.

    Pixels are counted as bits, which takes a tenth of the time of products of float32.

    Args:
        kind: ``"dice"`` or ``"iou"``.

    Raises:
        ValueError: another ``kind``.
    """

    def __init__(self, kind: str = "dice") -> None:
        if kind not in ("dice", "iou"):
            raise ValueError(f"kind must be 'dice' or 'iou', got {kind!r}")
        super().__init__(ignore_empty=False)
        self.kind = kind

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """Score every mask of a batch, binary (B, K, H, W) or (B, K, H, W, D): (B, K) float32.

        Raises:
            ValueError: when the shapes differ.
        """
        if y_pred.shape != y.shape:
            raise ValueError(f"y_pred and y must have one shape, got {tuple(y_pred.shape)} and {tuple(y.shape)}")
        pred, truth = (mask.detach().cpu().bool().numpy() for mask in (y_pred, y))
        scores = [self._overlap(pred[place], truth[place]) for place in np.ndindex(*y.shape[:2])]
        return torch.tensor(scores, dtype=torch.float32, device=y.device).reshape(y.shape[:2])

    def _overlap(self, pred: np.ndarray, truth: np.ndarray) -> np.float32:
        both = np.float32(np.count_nonzero(pred & truth))
        total = np.float32(np.count_nonzero(pred) + np.count_nonzero(truth))
        if total == 0:
            return np.float32(1)
        return 2 * both / total if self.kind == "dice" else both / (total - both)


class Hausdorff95Metric(HausdorffDistanceMetric):
    """95th percentile of the surface distance, in pixels, defined for empty masks as well.

    MONAI's metric gives NaN whenever a mask is empty and leaves NaN out of the mean, so that predicting nothing
    *improves* the mean. Here both masks empty give 0, exactly one empty gives the image diagonal
    ``sqrt(H ** 2 + W ** 2)``, which no distance within the image exceeds. Every channel counts; the aggregate is the
    mean over channels and images. It is computed on the CPU, where MONAI searches distances among the few
    pixels of the outlines, for the masks of a list in as many threads as there are CPUs.

    Use it in an engine as ``IgniteMetricHandler(metric_fn=Hausdorff95Metric(), output_transform=...)``.
    """

    def __init__(self) -> None:
        super().__init__(include_background=True, percentile=95)

    def _compute_list(self, y_pred: TensorOrList, y: TensorOrList | None = None, **kwargs: Any) -> Tensor:
        """Score masks of lists, each ``(K, H, W)``."""
        pairs = [(found[None], truth[None]) for found, truth in zip(y_pred, y or (), strict=True)]
        with ThreadPoolExecutor(min(max(len(pairs), 1), os.cpu_count() or 1)) as pool:
            return torch.cat(list(pool.map(lambda pair: self._compute_tensor(*pair), pairs)))

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        """Score every mask of a batch.

        Args:
            y_pred: binary prediction (B, K, H, W), or (B, K, H, W, D).
            y: binary truth of the same shape.

        Returns:
            Distances in pixels, (B, K) float32.

        Raises:
            ValueError: when the shapes differ or there is no spatial axis.
        """
        if y_pred.shape != y.shape or y.ndim < 3:
            raise ValueError(
                f"y_pred and y must both be (B, K, H, W), got {tuple(y_pred.shape)} and {tuple(y.shape)}; "
                "invert the resize of the prediction before it is scored"
            )
        pred, truth = (mask.detach().cpu().bool().numpy() for mask in (y_pred, y))
        scores = [self._distance(pred[place], truth[place]) for place in np.ndindex(*y.shape[:2])]
        return torch.tensor(scores, dtype=torch.float32, device=y.device).reshape(y.shape[:2])

    def _distance(self, pred: np.ndarray, truth: np.ndarray) -> float:
        """Score one mask, bool (H, W) or (H, W, D)."""
        if pred.any() != truth.any():
            return math.hypot(*truth.shape)
        if not truth.any():
            return 0.0
        # MONAI's own way to these two functions makes several passes over the whole image and takes twice the time
        box = _common_box(pred, truth)
        return _hausdorff95(pred[box], truth[box])


class VolumeScores(NamedTuple):
    """How well a mask of a volume fits.

    Attributes:
        dice: of the voxels.
        iou: the same.
        hd95: 95th percentile of the distance of the surfaces in mm, the larger one of both directions.
        surface_dice: share of both surfaces that lies within the tolerance of the other one.
    """

    dice: float
    iou: float
    hd95: float
    surface_dice: float


def volume_scores(
    pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance: float = TOLERANCE
) -> VolumeScores:
    """Score one structure of a volume.

    The surfaces of HD95 are the outermost voxels, as MONAI has them; those of the surface Dice run between voxels and
    are weighted by their area (Nikolov et al. 2021), as with MONAI's ``use_subvoxels``, since slices that are further
    apart than pixels would else count too little. Only the box of both masks is looked at.

    Args:
        pred: bool ``(D, H, W)``.
        truth: the same.
        spacing: distance of the voxels along each axis in mm.
        tolerance: in mm, see ``surface_dice``.

    Raises:
        ValueError: masks of different shapes, or a spacing of another number of axes.
    """
    if pred.shape != truth.shape or pred.ndim != 3 or len(spacing) != 3:
        raise ValueError(f"expected two masks of three axes, got {pred.shape} and {truth.shape}, spacing {spacing}")
    sizes, distances = [int(np.count_nonzero(mask)) for mask in (pred, truth)], [float(one) for one in spacing]
    if not any(sizes):
        return VolumeScores(1.0, 1.0, 0.0, 1.0)
    if not all(sizes):
        return VolumeScores(0.0, 0.0, math.hypot(*np.multiply(truth.shape, distances)), 0.0)
    box = _common_box(pred, truth)
    pred, truth = pred[box], truth[box]
    both = int(np.count_nonzero(pred & truth))
    shares = 2 * both / sum(sizes), both / (sum(sizes) - both)
    return VolumeScores(*shares, _hausdorff95(pred, truth, distances), _surface_dice(pred, truth, distances, tolerance))


def _common_box(pred: np.ndarray, truth: np.ndarray) -> tuple[slice, ...]:
    """The smallest box with both masks, neither of them empty."""
    box = []
    for axis in range(pred.ndim):
        others = tuple(other for other in range(pred.ndim) if other != axis)
        first, last = np.flatnonzero(pred.any(axis=others) | truth.any(axis=others))[[0, -1]]
        box.append(slice(int(first), int(last) + 1))
    return tuple(box)


def _hausdorff95(pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float] | None = None) -> float:
    """95th percentile of the distance of the outermost pixels; neither mask is empty."""
    first, second = _edge(pred), _edge(truth)
    pairs = ((first, second), (second, first))
    return max(_percentile95(_distances(own, other, spacing)) for own, other in pairs)


def _edge(mask: np.ndarray) -> np.ndarray:
    """Pixels of a mask with a neighbour outside of it, or at the border: MONAI's ``get_mask_edges``, but quicker."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        own, left = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        own[1:] &= left[:-1]
        own[:-1] &= left[1:]
        own[0] = own[-1] = False
    return mask & ~inner


def _percentile95(values: np.ndarray) -> float:
    if len(values) > _MOST:
        return float(np.percentile(values, 95))
    return float(torch.quantile(torch.as_tensor(values), 0.95))


def _surface_dice(pred: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance: float) -> float:
    """Share of the area of both surfaces that is within the tolerance of the other; neither mask is empty."""
    areas = get_code_to_measure_table(spacing, device=torch.device("cpu"))[0].numpy()
    codes = [_surface_codes(mask) for mask in (pred, truth)]
    edges = [(code > 0) & (code < 255) for code in codes]
    near = whole = 0.0
    for code, own, other in zip(codes, edges, edges[::-1], strict=True):
        weights = areas[code[own]].astype(np.float64)
        near += weights[_distances(own, other, spacing) <= tolerance].sum()
        whole += weights.sum()
    return float(near / whole)


def _distances(own: np.ndarray, other: np.ndarray, spacing: Sequence[float] | None) -> np.ndarray:
    """From each point of ``own`` to the nearest of ``other``, neither of them empty: float32, in the order of points.

    MONAI searches a tree of the points, which is quick for outlines. Of a mask of noise nearly every voxel is on one,
    and a tree of a hundred million points takes minutes and gigabytes: there, a transform of the whole box is quicker.
    """
    if np.count_nonzero(own) + np.count_nonzero(other) < _DENSE * own.size:
        return np.asarray(get_surface_distance(own, other, spacing=spacing))
    steps = np.ones(own.ndim) if spacing is None else np.asarray(spacing)
    nearest = ndimage.distance_transform_edt(~other, sampling=steps, return_distances=False, return_indices=True)
    return np.concatenate([_to_nearest(index, own[index], nearest[:, index], steps) for index in range(len(own))])


def _to_nearest(index: int, points: np.ndarray, nearest: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Of the points in one slice, given where the nearest of others is for all of its places, (axes, ...)."""
    places = [np.full(np.count_nonzero(points), index), *np.nonzero(points)]
    ways = [(ends[points] - start) * step for ends, start, step in zip(nearest, places, steps, strict=True)]
    return np.sqrt(sum(way**2 for way in ways)).astype(np.float32)


def _surface_codes(mask: np.ndarray) -> np.ndarray:
    """Which of the eight voxels around each corner are in the mask, as MONAI's table counts them: uint8."""
    padded = np.pad(mask, 1).view(np.uint8)
    code = np.zeros([size - 1 for size in padded.shape], np.uint8)
    for bit, start in enumerate(np.ndindex(2, 2, 2)):
        part = tuple(slice(first, first + size) for first, size in zip(start, code.shape, strict=True))
        code |= padded[part] << np.uint8(7 - bit)
    return code
