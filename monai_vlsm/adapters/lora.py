# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""LoRA and DoRA: updates of low rank beside linear layers of the encoders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.attach import attach_beside
from monai_vlsm.adapters.placement import InEncoders, check_at_most, check_positive, encoder_names
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters

__all__ = ["LoRAAdaptation", "LowRankUpdate"]

PROJECTIONS = ("query", "key", "value", "out", "fc1", "fc2")
PAPERS = (
    "Hu et al.: LoRA: Low-Rank Adaptation of Large Language Models. ICLR 2022.",
    "Liu et al.: DoRA: Weight-Decomposed Low-Rank Adaptation. ICML 2024.",
)


class LowRankUpdate(nn.Module):
    """What LoRA adds to a linear layer, ``scale * up(down(x))``; and with DoRA the length of the rows of its weight.

    ``down`` is drawn as torch draws linear layers and ``up`` is zero, so the layer begins as it was. With DoRA it
    becomes ``magnitude * V / |V| x + bias`` with ``V = W + scale * up down`` and ``|V|`` the lengths of its rows;
    ``magnitude`` begins as these of W, and gradients do not pass the division (section 4.3 of its paper).

    Args:
        linear: the layer, with its weights.
        rank: size between ``down`` and ``up``.
        scale: factor of the update.
        dora: whether the lengths of the rows train by themselves.
    """

    def __init__(self, linear: nn.Linear, rank: int, scale: float, dora: bool) -> None:
        super().__init__()
        self.scale = scale
        self.down = nn.Linear(linear.in_features, rank, bias=False)
        self.up = nn.Linear(rank, linear.out_features, bias=False)
        nn.init.zeros_(self.up.weight)
        self.magnitude = nn.Parameter(_lengths(linear.weight)) if dora else None

    def forward(self, linear: nn.Linear, x: Tensor, output: Tensor) -> Tensor:
        """Adapt the output of the layer.

        Args:
            linear: the layer.
            x: its input ``(..., in)``.
            output: what it returned, ``(..., out)``.

        Returns:
            ``(..., out)``.
        """
        update: Tensor = self.scale * self.up(self.down(x))
        if self.magnitude is None:
            return output + update
        factor = self.magnitude / _lengths(self._direction(linear))
        plain = output if linear.bias is None else output - linear.bias
        return output + (factor - 1) * plain + factor * update

    def merged(self, linear: nn.Linear) -> Tensor:
        """The weight ``(out, in)`` with which the layer alone computes the same."""
        direction = self._direction(linear)
        if self.magnitude is None:
            return direction
        return (self.magnitude / _lengths(direction))[:, None] * direction

    def _direction(self, linear: nn.Linear) -> Tensor:
        with torch.autocast(linear.weight.device.type, enabled=False):  # few numbers, on which all others depend
            direction: Tensor = linear.weight + self.scale * (self.up.weight @ self.down.weight)
        return direction


def _lengths(weight: Tensor) -> Tensor:
    """Length of each row, without a gradient; above zero, for they are divided by."""
    lengths: Tensor = torch.linalg.vector_norm(weight.detach(), dim=1)
    return lengths.clamp_min(torch.finfo(lengths.dtype).tiny)


@dataclass(frozen=True)
class LoRAAdaptation(InEncoders, Adaptation):
    """LoRA: ``W x + (alpha / rank) B A x`` in linear layers of the encoders, with A and B of a low rank.

    Hu et al., LoRA (ICLR 2022). Adapted are the vision layers that are computed (0 to 9 of CLIPSeg) and all text
    layers. A is drawn, B begins at zero. ``dora=True`` is DoRA (Liu et al., ICML 2024): the length of each row of the
    weight trains by itself.

    A layer from n to m values gets ``rank * (n + m)`` parameters, and m more with DoRA. At the size of the released
    CLIPSeg and rank 8 that is 442,368 for queries and values (DoRA 470,016), 884,736 with keys and outputs (940,032),
    1,990,656 with the MLP too (2,115,072).

    Args:
        encoders: ``"v"`` adapts the vision encoder, ``"vl"`` the vision and the text encoder.
        projections: which layers: ``"query"``, ``"key"``, ``"value"`` and ``"out"`` of the attention, ``"fc1"`` and
            ``"fc2"`` of the MLP. Kept in this order.
        rank: size of the bottleneck, at most the smaller side of each layer.
        alpha: the update counts ``alpha / rank``.
        dora: whether the lengths of the rows train by themselves.

    Raises:
        AdaptationError: when a setting is unknown, or a size or ``alpha`` is not positive.
    """

    projections: Sequence[str] = ("query", "value")
    rank: int = 8
    alpha: float = 16.0
    dora: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("rank", self.rank)
        object.__setattr__(self, "projections", _in_order(self.projections))
        if type(self.alpha) not in (int, float) or not self.alpha > 0:
            raise AdaptationError(f"alpha must be a positive number, got {self.alpha!r}")
        check_at_most("alpha", self.alpha)
        if not isinstance(self.dora, bool):
            raise AdaptationError(f"dora must be True or False, got {self.dora!r}")

    @property
    def citations(self) -> tuple[str, ...]:
        """Of LoRA, and of DoRA where it is used."""
        return PAPERS[: 1 + self.dora]

    @property
    def changes(self) -> frozenset[str]:
        """The weights of the adapted layers."""
        return frozenset(f"{encoder} {name}" for encoder in encoder_names(self.encoders) for name in self.projections)

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Put an update beside each of the layers.

        Args:
            targets: the places that the network offers.

        Raises:
            AdaptationError: when the rank is above a side of a layer.
        """
        linears = self._linears(targets)
        most = min(min(linear.in_features, linear.out_features) for linear in linears)
        if self.rank > most:
            raise AdaptationError(
                f"rank must be at most {most}, the smallest side of a layer that is adapted, got {self.rank}"
            )
        for linear in linears:
            attach_beside(linear, LowRankUpdate(linear, self.rank, self.alpha / self.rank, self.dora))
        return FeatureAdapters()

    def merge(self, trained: AdapterTargets, plain: AdapterTargets) -> None:
        """Add each update to the weight of its layer.

        Args:
            trained: the places of the network that it is installed on.
            plain: those of a network with the same weights that nothing is installed on; changed in place.
        """
        for own, other in zip(self._linears(trained), self._linears(plain), strict=True):
            other.weight.data.copy_(cast(LowRankUpdate, own.adapter).merged(own))

    def _linears(self, targets: AdapterTargets) -> list[nn.Linear]:
        layers = targets.computed_layers(self.encoders)
        return [getattr(layer, name) for layer in layers for name in self.projections]


def _in_order(names: Any) -> tuple[str, ...]:
    """Names of layers in the order of `PROJECTIONS`, so that two adaptations of the same layers are equal."""
    given = tuple(names) if isinstance(names, list | tuple) else ()
    if not given or len(set(map(str, given))) != len(given) or not set(map(str, given)) <= set(PROJECTIONS):
        raise AdaptationError(
            f"projections must be a list of some of {', '.join(map(repr, PROJECTIONS))}, each once, got {names!r}"
        )
    return tuple(name for name in PROJECTIONS if name in given)
