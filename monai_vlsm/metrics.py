# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scores with one stated rule for empty masks.

Of a prediction and a truth, both empty scores Dice 1, IoU 1, HD95 0; exactly one empty scores Dice 0, IoU 0 and, as
HD95, the diagonal of the image. For Dice and IoU MONAI does so with ``DiceMetric(ignore_empty=False)`` and
``MeanIoU(ignore_empty=False)``; :class:`Hausdorff95Metric` is the missing third.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from monai.metrics import HausdorffDistanceMetric
from monai.metrics.utils import get_mask_edges, get_surface_distance
from scipy import ndimage
from torch import Tensor

__all__ = ["Hausdorff95Metric"]


class Hausdorff95Metric(HausdorffDistanceMetric):
    """95th percentile of the surface distance, in pixels, defined for empty masks as well.

    MONAI's metric gives NaN whenever a mask is empty and leaves NaN out of the mean, so that predicting nothing
    *improves* the mean. Here both masks empty give 0, exactly one empty gives the image diagonal
    ``sqrt(H ** 2 + W ** 2)``, which no distance within the image exceeds. Every channel counts; the aggregate is the
    mean over channels and images. It is computed on the CPU, where MONAI searches distances among the few
    pixels of the outlines.

    Use it in an engine as ``IgniteMetricHandler(metric_fn=Hausdorff95Metric(), output_transform=...)``.
    """

    def __init__(self) -> None:
        super().__init__(include_background=True, percentile=95)

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
        box = ndimage.find_objects((pred | truth).view(np.uint8))[0]
        edges = get_mask_edges(pred[box], truth[box], crop=False)
        pairs = (edges, edges[::-1])
        return max(float(torch.quantile(torch.as_tensor(get_surface_distance(*pair)), 0.95)) for pair in pairs)
