# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Probabilities as sure as they are right: the temperature of a model."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor

__all__ = ["TemperatureD", "TemperatureDict", "Temperatured", "calibrated"]

_BELOW = 0.5 - 2**-25  # the last float32 below one half


def calibrated(probabilities: Tensor, temperature: float) -> Tensor:
    """``sigmoid(logit(p) / T)``: closer to one half for T above 1, further from it below.

    Which pixels reach one half stays as it was, to the last bit: no T moves a mask that is cut there.

    Args:
        probabilities: from 0 to 1, float32, any shape; 0 and 1 stay what they are.
        temperature: T, above 0; 1 changes nothing.
    """
    if temperature == 1:
        return probabilities
    found = torch.sigmoid(torch.logit(probabilities) / temperature)
    return torch.where(probabilities < 0.5, found.clamp(max=_BELOW), found.clamp(min=0.5))


class Temperatured(MapTransform):
    """Divide the logits behind probabilities by the temperature of a model (`calibrated`).

    Use it on probabilities at the size of the file, as the last step: existence scores and the masks at 0.5 are then
    those that the model has without a temperature.

    Args:
        keys: keys of the probabilities.
        temperature: T.
        allow_missing_keys: leave records without probabilities as they are.

    Raises:
        ValueError: a temperature that is not above 0.
    """

    def __init__(
        self, keys: KeysCollection = "pred", temperature: float = 1.0, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not 0 < temperature < float("inf"):
            raise ValueError(f"temperature must be above 0, got {temperature}")
        self.temperature = temperature

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Replace the probabilities; their meta stays."""
        d = dict(data)
        for key in self.key_iterator(d) if self.temperature != 1 else ():
            found: Tensor = d[key]
            plain = found.as_tensor() if isinstance(found, MetaTensor) else found
            changed = calibrated(plain, self.temperature)
            d[key] = MetaTensor(changed).copy_meta_from(found) if isinstance(found, MetaTensor) else changed
        return d


TemperatureD = TemperatureDict = Temperatured
