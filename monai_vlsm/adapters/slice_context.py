# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Slices of a volume that attend to their neighbours, between the vision encoder and the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.dense import DenseAdaptation
from monai_vlsm.adapters.kinds import build_adaptation
from monai_vlsm.adapters.placement import check_at_most
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters
from monai_vlsm.errors import UserError

__all__ = [
    "ContextError",
    "SliceAttention",
    "SliceContextAdaptation",
    "single_settings",
    "slice_count",
    "with_slices",
]

FURTHEST = 2  # neighbours on either side that positions are learned for
HEADS = 4
CLOSED = -5.0  # what the gate begins with: sigmoid(-5) = 0.7 %


class ContextError(UserError, ValueError):
    """Slices were to attend to neighbours that they do not have."""


class SliceAttention(nn.Module):
    """A slice looks at the same place in its neighbours: ``own + sigmoid(gate) * up(layer(down(slices) + position))``.

    ``layer`` is one transformer layer with the normalisations in front, along the slices. ``up`` begins at zero, so the
    block begins as the identity; of a slice without neighbours it is the identity for good.

    Args:
        width: size of the states.
        bottleneck: size in which slices attend to one another, a multiple of 4.
    """

    def __init__(self, width: int, bottleneck: int = 64) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck, bias=False)
        self.positions = nn.Parameter(0.02 * torch.randn(2 * FURTHEST + 1, bottleneck))
        self.norm_attention = nn.LayerNorm(bottleneck)
        self.attention = nn.MultiheadAttention(bottleneck, HEADS, batch_first=True)
        self.norm_mlp = nn.LayerNorm(bottleneck)
        self.mlp = nn.Sequential(
            nn.Linear(bottleneck, 4 * bottleneck), nn.GELU(), nn.Linear(4 * bottleneck, bottleneck)
        )
        self.norm_up = nn.LayerNorm(bottleneck)
        self.up = nn.Linear(bottleneck, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)
        self.gate = nn.Parameter(torch.tensor(CLOSED))

    def forward(self, states: Tensor) -> Tensor:
        """Adapt the middle one of K slices.

        Args:
            states: ``(B, K, N, C)``, K odd.

        Returns:
            ``(B, N, C)``.
        """
        slices = states.shape[1]
        reach = slices // 2
        own = states[:, reach]
        if not reach:
            return own
        positions = self.positions[FURTHEST - reach : FURTHEST + reach + 1]
        hidden = (self.down(states.transpose(1, 2)) + positions).flatten(0, 1)  # (B * N, K, bottleneck)
        normed = self.norm_attention(hidden)
        attended, _ = self.attention(normed[:, reach : reach + 1], normed, normed, need_weights=False)
        middle = hidden[:, reach] + attended[:, 0]
        middle = middle + self.mlp(self.norm_mlp(middle))
        change: Tensor = torch.sigmoid(self.gate) * self.up(self.norm_up(middle))
        return own + change.view(own.shape)


@dataclass(frozen=True)
class SliceContextAdaptation(Adaptation):
    """Another adaptation, and behind it a `SliceAttention` on each activation that the decoder reads.

    The network takes a slice with its neighbours, ``(B, 3 K, H, W)`` with K = 2 ``context`` + 1, the red, green and
    blue of one slice after the other. Each passes the encoder by itself; the decoder sees the one in the middle.

    Args:
        inner: what adapts each slice, such as ``DenseAdaptation("v")``; or its settings.
        context: neighbours on either side, 1 or 2.
        width: size in which slices attend to one another, a multiple of 4.

    Raises:
        AdaptationError: another ``context`` or ``width``, or one within another.
    """

    inner: Adaptation = field(default_factory=DenseAdaptation)
    context: int = 1
    width: int = 64

    def __post_init__(self) -> None:
        if isinstance(self.inner, Mapping):
            object.__setattr__(self, "inner", build_adaptation(self.inner))
        if not isinstance(self.inner, Adaptation) or self.inner.slices > 1:
            raise AdaptationError(f"inner must be an adaptation of single slices, got {self.inner!r}")
        if type(self.context) is not int or not 1 <= self.context <= FURTHEST:
            raise AdaptationError(f"slices attend to 1 or 2 neighbours on either side, got context={self.context!r}")
        if type(self.width) is not int or self.width < HEADS or self.width % HEADS:
            raise AdaptationError(f"width must be a multiple of {HEADS}, got {self.width!r}")
        check_at_most("width", self.width)

    @property
    def citations(self) -> tuple[str, ...]:
        """As of the inner one."""
        return self.inner.citations

    @property
    def slices(self) -> int:
        """A slice and its neighbours."""
        return 2 * self.context + 1

    @property
    def saves_base(self) -> bool:
        """As of the inner one."""
        return self.inner.saves_base

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """As of the inner one: slices meet behind the encoder."""
        return self.inner.frozen_encoders

    def settings(self) -> dict[str, Any]:
        """Plain values, with those of the inner one among them."""
        return {"type": self.kind(), "inner": self.inner.settings(), "context": self.context, "width": self.width}

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Install the inner one, and put the attention behind it.

        Args:
            targets: the places that the network offers.

        Returns:
            FeatureAdapters that take activations ``(B, K, N, C)`` and give ``(B, N, C)``.

        Raises:
            AdaptationError: when the inner one lets image and text meet inside of the encoders.
        """
        inner = self.inner.install(targets)
        if inner.meeting_layers:
            raise AdaptationError(
                f"slices cannot attend to their neighbours with {self.inner}: what is known of a slice depends on the "
                "prompt there; set slice_attention to False, or take another adaptation"
            )
        return _SliceContextAdapters(inner, targets, self.width)


class _SliceContextAdapters(FeatureAdapters):
    def __init__(self, inner: FeatureAdapters, targets: AdapterTargets, width: int) -> None:
        super().__init__()
        self.text_layers = inner.text_layers
        self.inner = inner
        self.slice_attention = nn.ModuleList(
            SliceAttention(targets.vision.width, width) for _ in targets.extract_layers
        )

    def skips(self, skips: list[Tensor]) -> list[Tensor]:
        single = self.inner.skips([skip.flatten(0, 1) for skip in skips])
        adapted = [one.view(skip.shape) for one, skip in zip(single, skips, strict=True)]
        return [cast(Tensor, attend(one)) for attend, one in zip(self.slice_attention, adapted, strict=True)]

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        return self.inner.condition(embedding, states)

    def logits(self, logits: Tensor) -> Tensor:
        return self.inner.logits(logits)


def slice_count(context: int, attend: bool) -> int:
    """How many slices a network takes at a time: one with its neighbours where they attend to one another, else 1.

    Args:
        context: neighbours on either side.
        attend: whether slices attend to one another.

    Raises:
        ContextError: they should, and there are no neighbours.
    """
    if attend and not context:
        raise ContextError("slice_attention needs neighbours: context 1 or 2, got 0")
    return 2 * context + 1 if attend else 1


def with_slices(adaptation: Adaptation, slices: int | None) -> Adaptation:
    """An adaptation for so many slices: as it is, or within a `SliceContextAdaptation`.

    Args:
        adaptation: of single slices, or of so many.
        slices: see `slice_count`; None for as many as the adaptation is for.

    Raises:
        ContextError: the adaptation is for another number of slices, or nobody is in the middle of so many.
    """
    if slices in (None, adaptation.slices):
        return adaptation
    if adaptation.slices > 1:
        raise ContextError(
            f"{adaptation.kind()} is for {adaptation.slices} slices at a time, and here they are {slices}: set context "
            f"to {adaptation.slices // 2} and slice_attention to True"
        )
    if slices not in range(1, 2 * FURTHEST + 2, 2):
        raise ContextError(f"slices must be 1, 3 or 5, one and as many neighbours on either side, got {slices!r}")
    return SliceContextAdaptation(adaptation, slices // 2)


def single_settings(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of what adapts each slice, from what ``model.pt`` says of its network; empty where it says nothing."""
    settings = saved.get("adaptation", {})
    return dict(settings.get("inner", settings))
