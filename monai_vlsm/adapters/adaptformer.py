# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""AdaptFormer: a narrow branch beside the MLP of each layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.placement import InEncoders, check_positive, encoder_names
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters, LayerTargets

__all__ = ["AdaptFormerAdaptation"]


@dataclass(frozen=True)
class AdaptFormerAdaptation(InEncoders, Adaptation):
    """AdaptFormer (Chen et al., NeurIPS 2022), parallel: ``mlp(norm(x)) + scale * up(relu(down(x)))``.

    ``x`` is the residual stream in front of the normalisation of the MLP. ``down`` begins as the authors' code draws
    it (Kaiming, uniform), ``up`` and both biases at zero, so training begins at the frozen network. Adapted are all
    layers that are computed.

    At the size of CIDAS/clipseg-rd64-refined: 10 x 99,136 = 991,360 parameters in the vision encoder, with 12 x 66,112
    in the text encoder 1,784,704.

    Args:
        encoders: ``"v"`` adapts the vision encoder, ``"vl"`` the vision and the text encoder.
        width: bottleneck of the branches.
        scale: of what a branch adds.

    Raises:
        AdaptationError: when ``encoders`` is unknown, or ``width`` or ``scale`` is not positive.
    """

    width: int = 64
    scale: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("width", self.width)
        if type(self.scale) not in (int, float) or not 0 < self.scale < math.inf:
            raise AdaptationError(f"scale must be a positive number, got {self.scale!r}")

    @property
    def citations(self) -> tuple[str, ...]:
        """Of AdaptFormer."""
        return (
            "Chen et al.: AdaptFormer: Adapting Vision Transformers for Scalable Visual Recognition. NeurIPS 2022.",
        )

    @property
    def changes(self) -> frozenset[str]:
        """The MLP of the adapted encoders, and the normalisation in front of it, on which half of a branch sits."""
        return frozenset(f"{encoder} {part}" for encoder in encoder_names(self.encoders) for part in ("MLP", "norm2"))

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Put a branch beside each MLP.

        Args:
            targets: the places that the network offers.
        """
        for layer in targets.computed_layers(self.encoders):
            self._branch(layer, layer.fc1.in_features)
        return FeatureAdapters()

    def _branch(self, layer: LayerTargets, width: int) -> None:
        """``down`` sits on the normalisation, which sees the stream, and ``up`` on the MLP, whose output it joins.

        Nothing is kept on a module in between, for several threads may run one network: what ``down`` makes travels
        behind the normalised states, and the first layer of the MLP does without it.
        """
        layer.mlp.add_module("up", _Up(self.width, width, self.scale))
        if not layer.norm_first:  # the MLP itself sees the stream
            layer.mlp.add_module("down", _down(width, self.width))
            layer.mlp.register_forward_hook(_add_branch)
            return
        norm = layer.norms[1]
        norm.add_module("down", _down(width, self.width))
        norm.register_forward_hook(_narrow)
        layer.fc1.register_forward_pre_hook(_without_branch)
        layer.mlp.register_forward_hook(_join)


def _down(width: int, bottleneck: int) -> nn.Linear:
    linear = nn.Linear(width, bottleneck)
    nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5))
    nn.init.zeros_(linear.bias)
    return linear


class _Up(nn.Linear):
    def __init__(self, bottleneck: int, width: int, scale: float) -> None:
        super().__init__(bottleneck, width)
        self.scale = scale
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, narrow: Tensor) -> Tensor:
        return self.scale * super().forward(narrow)


def _narrow(norm: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return torch.cat([output, torch.relu(norm.down(args[0])).to(output.dtype)], dim=-1)


def _without_branch(linear: Any, args: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (args[0][..., : linear.in_features],)


def _join(mlp: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + mlp.up(args[0][..., -mlp.up.in_features :])


def _add_branch(mlp: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + mlp.up(torch.relu(mlp.down(args[0])))
