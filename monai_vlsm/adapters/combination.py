# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Several adaptations on one network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, cast

from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.kinds import build_adaptation
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters

__all__ = ["Combination"]


@dataclass(frozen=True)
class Combination(Adaptation):
    """Several adaptations that change different things of one network, such as dense adapters and LoRA.

    Between the stages of the network they act in the order in which they are given. Their parameters add up. Where
    slices attend to one another, the combination is what adapts each slice,
    ``SliceContextAdaptation(Combination(...))``: ``slice_attention`` of a bundle makes that.

    Args:
        parts: two adaptations or more, or their settings.

    Raises:
        AdaptationError: when parts are of one kind, change the same, change nothing, or train the whole network.
    """

    parts: Sequence[Adaptation] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", _built(self.parts))
        for part in self.parts:
            _check_part(part)
        for one, other in combinations(self.parts, 2):
            _check_pair(one, other)

    @property
    def citations(self) -> tuple[str, ...]:
        """Of all parts."""
        return tuple(dict.fromkeys(citation for part in self.parts for citation in part.citations))

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """Encoders that all parts leave alone."""
        return super().frozen_encoders.intersection(*(part.frozen_encoders for part in self.parts))

    @property
    def changes(self) -> frozenset[str]:
        """What any part changes."""
        return frozenset().union(*(part.changes for part in self.parts))

    def settings(self) -> dict[str, Any]:
        """Plain values, with those of each part among them."""
        return {"type": self.kind(), "parts": [part.settings() for part in self.parts]}

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Install all parts.

        Args:
            targets: the places that the network offers.

        Returns:
            FeatureAdapters that call those of the parts one after the other.
        """
        return _CombinedFeatureAdapters([part.install(targets) for part in self.parts])

    def merge(self, trained: AdapterTargets, plain: AdapterTargets) -> None:
        """Merge all parts, if each can be.

        Args:
            trained: the places of the network that it is installed on.
            plain: those of a network with the same weights that nothing is installed on; changed in place.

        Raises:
            MergeError: of the first part that cannot be merged.
        """
        for part in self.parts:
            part.merge(trained, plain)


class _CombinedFeatureAdapters(FeatureAdapters):
    def __init__(self, parts: list[FeatureAdapters]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.text_layers = tuple(sorted({layer for part in parts for layer in part.text_layers}))
        self.meeting_layers = tuple(sorted({layer for part in parts for layer in part.meeting_layers}))

    def skips(self, skips: list[Tensor]) -> list[Tensor]:
        for part in self._parts:
            skips = part.skips(skips)
        return skips

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        found = dict(zip(self.text_layers, states, strict=True))
        for part in self._parts:
            embedding = part.condition(embedding, [found[layer] for layer in part.text_layers])
        return embedding

    def meet(self, layer: int, image: Tensor, text: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        for part in (part for part in self._parts if layer in part.meeting_layers):
            image, text = part.meet(layer, image, text, words)
        return image, text

    def logits(self, logits: Tensor) -> Tensor:
        for part in self._parts:
            logits = part.logits(logits)
        return logits

    @property
    def _parts(self) -> list[FeatureAdapters]:
        return [cast(FeatureAdapters, part) for part in self.parts]


def _built(parts: Any) -> tuple[Adaptation, ...]:
    given = parts if isinstance(parts, list | tuple) else ()
    built = tuple(build_adaptation(part) if isinstance(part, Mapping) else part for part in given)
    if len(built) < 2 or not all(isinstance(part, Adaptation) for part in built):
        raise AdaptationError(f"parts must be a list of two adaptations or more, got {parts!r}")
    return built


def _check_part(part: Adaptation) -> None:
    """One that has a place beside others."""
    if isinstance(part, Combination):
        raise AdaptationError("a combination within a combination: put the parts of both into one list")
    if part.slices > 1:
        raise AdaptationError(
            f"{part.kind()} is of several slices and goes around a combination, as in "
            "SliceContextAdaptation(inner=Combination(...)); or set slice_attention"
        )
    if part.saves_base:
        raise AdaptationError(
            f"{part} trains the whole network, so that nothing is left to combine it with; use it alone"
        )
    if not part.changes and ":" not in part.kind():  # one of others need not say what it changes
        raise AdaptationError(f"{part} changes nothing; leave it out of the combination")


def _check_pair(one: Adaptation, other: Adaptation) -> None:
    """Two that do not get in each other's way."""
    if one.kind() == other.kind():
        raise AdaptationError(f"{one.kind()} comes twice in a combination; take one with the settings of both")
    shared = sorted(one.changes & other.changes)
    if shared:
        raise AdaptationError(
            f"{one.kind()} and {other.kind()} cannot be combined: both change {', '.join(shared)}; take one of them, "
            "or settings with which each changes something else"
        )
