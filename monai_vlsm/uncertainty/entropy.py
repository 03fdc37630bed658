# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Entropy of a pixel in bits, and one number for a mask."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from monai_vlsm.transforms.existence import existence_scores

__all__ = ["STEPS", "Doubt", "binary_entropy", "entropy_codes"]

STEPS = 255
"""Grey values to a bit in a file: 0 is no entropy, 255 one bit."""


def binary_entropy(probabilities: Tensor) -> Tensor:
    """Entropy of each pixel in bits: 0 where it is sure, 1 where the probability is 0.5.

    Args:
        probabilities: from 0 to 1, any shape; of several predictions their mean.

    Returns:
        ``-p log2 p - (1 - p) log2 (1 - p)``, of the same shape.
    """
    rest = 1 - probabilities
    nats = torch.special.entr(probabilities) + torch.special.entr(rest)
    return (nats / math.log(2)).clamp(0, 1)


def entropy_codes(entropy: Tensor) -> np.ndarray:
    """Entropy as uint8 for a file, in steps of 1/255 bit."""
    codes: np.ndarray = (entropy * STEPS).round().to(torch.uint8).cpu().numpy()
    return codes


class Doubt:
    """How much of K masks is doubtful, a number from 0 to 1 for each; images are one slice, volumes several.

    For a mask with pixels it is 1 - 2 sum(p m) / sum(p + m): one minus the Dice that the probabilities p themselves
    expect of the mask m (Borges et al., Selective Prediction for Semantic Segmentation using Post-Hoc Confidence
    Estimation and Its Performance under Distribution Shift, 2024: "soft Dice confidence"). It does not grow with the
    size of a structure, as a sum of entropies would. For an empty mask it is the existence score of the
    probabilities (`monai_vlsm.transforms.existence_scores`), of a volume that of the best slice: how likely it is that
    something is there after all.

    Args:
        prompts: K.
    """

    def __init__(self, prompts: int) -> None:
        self._sums = torch.zeros(3, prompts, dtype=torch.float64)
        self._existence = torch.zeros(prompts)

    def add(self, probabilities: Tensor, masks: Tensor) -> None:
        """Take a slice in.

        Args:
            probabilities: ``(K, H, W)``, of several predictions their mean.
            masks: 0 and 1, of the same shape.
        """
        p, m = (one.detach().flatten(1).cpu().double() for one in (probabilities, masks))
        self._sums += torch.stack([(p * m).sum(1), p.sum(1), m.sum(1)])
        self._existence = torch.maximum(self._existence, existence_scores(p.float()[:, None]))

    @property
    def numbers(self) -> list[float]:
        """One for each mask."""
        both, likely, pixels = self._sums
        confidence = 2 * both / (likely + pixels).clamp_min(torch.finfo(torch.float64).tiny)
        doubts: list[float] = torch.where(pixels > 0, 1 - confidence, self._existence.double()).tolist()
        return doubts
