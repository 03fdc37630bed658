# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""SSF: a factor and a shift behind all that holds weights in the layers of the encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation
from monai_vlsm.adapters.attach import attach_adapter
from monai_vlsm.adapters.placement import InEncoders, encoder_names
from monai_vlsm.adapters.targets import WEIGHTED, AdapterTargets, FeatureAdapters

__all__ = ["SSFAdaptation", "ScaleShift"]


class ScaleShift(nn.Module):
    """``factor * x + shift``, one number of each for each value; begins as the identity.

    Args:
        width: size of the last dimension of the input and output.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """Adapt activations ``(..., width)``."""
        return self.factor * x + self.shift


@dataclass(frozen=True)
class SSFAdaptation(InEncoders, Adaptation):
    """SSF: ``factor * y + shift`` behind each normalisation and each linear layer of the encoders.

    Lian et al., Scaling & Shifting Your Features (NeurIPS 2022). Adapted are the vision layers that are computed (0 to
    9 of CLIPSeg) and all text layers: two normalisations, queries, keys, values, outputs, both layers of the MLP. The
    authors draw factors around 1 and shifts around 0 (deviation 0.02); here they begin as 1 and 0, so the network
    begins as it was. The shift of keys cannot matter: attention is the same when all keys move by one vector.

    Each layer of width d has 22 d parameters: 304,128 at the size of the released CLIPSeg, 168,960 with
    ``encoders="v"``.

    Args:
        encoders: ``"v"`` adapts the vision encoder, ``"vl"`` the vision and the text encoder.

    Raises:
        AdaptationError: when ``encoders`` is unknown.
    """

    @property
    def citations(self) -> tuple[str, ...]:
        """Of SSF."""
        return (
            "Lian et al.: Scaling & Shifting Your Features: A New Baseline for Efficient Model Tuning. NeurIPS 2022.",
        )

    @property
    def changes(self) -> frozenset[str]:
        """Weights and biases of all layers."""
        names = [f"{encoder} {name}" for encoder in encoder_names(self.encoders) for name in WEIGHTED]
        return frozenset([*names, *(f"{name} bias" for name in names)])

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Put a factor and a shift behind each module.

        Args:
            targets: the places that the network offers.
        """
        for module in self._modules(targets):
            attach_adapter(module, ScaleShift(len(module.bias)))
        return FeatureAdapters()

    def merge(self, trained: AdapterTargets, plain: AdapterTargets) -> None:
        """Multiply weights and biases with the factors, and add the shifts to the biases.

        Args:
            trained: the places of the network that it is installed on.
            plain: those of a network with the same weights that nothing is installed on; changed in place.
        """
        for own, other in zip(self._modules(trained), self._modules(plain), strict=True):
            factor, shift = own.adapter.factor.data, own.adapter.shift.data
            other.weight.data.mul_(factor if other.weight.ndim == 1 else factor[:, None])
            other.bias.data.mul_(factor).add_(shift)

    def _modules(self, targets: AdapterTargets) -> list[Any]:
        return [module for layer in targets.computed_layers(self.encoders) for module in layer.weighted]
