# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""No adapters: weights of the network itself train."""

from __future__ import annotations

from dataclasses import dataclass

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.placement import CITATION
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters

__all__ = ["FineTuning"]

_PARTS = ("none", "decoder", "full")


@dataclass(frozen=True)
class FineTuning(Adaptation):
    """Train a part of the network in place of adapters.

    The paper calls its upper bound "end-to-end"; its code runs both encoders of CLIPSeg without gradients, so what it
    trained is ``"decoder"``. ``"full"`` is what the word says.

    Args:
        trainable: ``"none"`` (evaluation only), ``"decoder"``, or ``"full"``: all that the forward pass runs.

    Raises:
        AdaptationError: when ``trainable`` is unknown.
    """

    trainable: str = "decoder"

    def __post_init__(self) -> None:
        if self.trainable not in _PARTS:
            raise AdaptationError(f"trainable must be one of {', '.join(map(repr, _PARTS))}, got {self.trainable!r}")

    @property
    def citations(self) -> tuple[str, ...]:
        """Of VLSM-Adapter."""
        return (CITATION,)

    @property
    def saves_base(self) -> bool:
        """True for ``"full"``: the whole model is what was trained."""
        return self.trainable == "full"

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """Both encoders, none with ``"full"``."""
        return frozenset() if self.trainable == "full" else super().frozen_encoders

    @property
    def changes(self) -> frozenset[str]:
        """The decoder, where it trains."""
        return frozenset({"decoder"} if self.trainable == "decoder" else ())

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Let the chosen part train.

        Args:
            targets: the places that the network offers.

        Returns:
            FeatureAdapters that change nothing.
        """
        parts = {"none": [], "decoder": [targets.decoder], "full": targets.used}
        for module in parts[self.trainable]:
            module.requires_grad_(True)
        return FeatureAdapters()

    def merge(self, trained: AdapterTargets, plain: AdapterTargets) -> None:
        """Nothing is left to do: weights of the network itself were trained."""
