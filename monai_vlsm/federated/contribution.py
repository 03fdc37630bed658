# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the server takes from a site in a round, and the average of what it took."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_vlsm.federated.exchange import Weights, require_fit
from monai_vlsm.federated.terms import FederatedError

__all__ = ["IMAGES", "REFUSED", "Contribution", "average", "one_line", "read_contribution"]

IMAGES = "NUM_STEPS_CURRENT_ROUND"
"""Where NVFlare looks for the weight of a site; here the number of its training images."""

REFUSED = "refused"
"""Of a site that sits a round out: the name of the only tensor that it sends, and of the line that says why.

Without any tensor NVFlare drops an answer before anybody can read the line."""

_MOST_IMAGES = 2**31
_LONGEST = 500  # letters of a line that a site may put into the log of the server


@dataclass(frozen=True)
class Contribution:
    """What counts of a site in a round.

    Args:
        images: number of its training images.
        weights: name to values, as from `monai_vlsm.federated.outgoing`.
    """

    images: int
    weights: Mapping[str, np.ndarray]


def read_contribution(
    wanted: Mapping[str, tuple[int, ...]],
    weights: Mapping[str, Any],
    meta: Mapping[str, Any],
    scores: Mapping[str, Any],
) -> Contribution:
    """Check what a site sent: its software may be another one, so nothing is taken for granted.

    Args:
        wanted: name to shape of what travels.
        weights: name to values.
        meta: with the number of images under `IMAGES`, or why the site sits the round out under `REFUSED`.
        scores: of the model that the site received.

    Raises:
        FederatedError: the site sits the round out, or sent weights of another network, values that are no numbers, or
            no number of images.
    """
    if meta.get(REFUSED):
        raise FederatedError(one_line(meta[REFUSED]))
    require_fit(wanted, weights)
    for name, value in scores.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise FederatedError(f"{name} of the received model is {value!r}, which is no number")
    images = meta.get(IMAGES)
    if type(images) is not int or not 1 <= images <= _MOST_IMAGES:
        told = one_line(repr(images) if not isinstance(images, int) or abs(images) <= _MOST_IMAGES else "larger")
        raise FederatedError(f"the number of training images must be a whole number from 1 to 2**31, and is {told}")
    return Contribution(images, {name: np.asarray(value) for name, value in weights.items()})


def average(contributions: Mapping[str, Contribution]) -> Weights:
    """The mean of the weights of all sites, each counted by its images.

    It is summed in float64 in the order of the names of the sites, so that the same contributions give the same bits
    in whatever order they came.

    Args:
        contributions: name of a site to what it sent; one or more.

    Returns:
        name to float32 values.
    """
    counted = [contributions[site] for site in sorted(contributions)]
    total = sum(one.images for one in counted)
    sums = {
        name: sum(one.images * np.asarray(one.weights[name], np.float64) for one in counted)
        for name in counted[0].weights
    }
    return {name: np.asarray(value / total, np.float32) for name, value in sums.items()}


def one_line(text: object) -> str:
    """A text of a site or of an error in one line of bounded length."""
    return " ".join(str(text).split())[:_LONGEST]
