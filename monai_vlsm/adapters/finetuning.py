# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""No adapters: weights of the network itself train."""

from __future__ import annotations

from dataclasses import dataclass

from monai_vlsm.adapters.adaptation import Adaptation, AdapterTargets, FeatureAdapters

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
        ValueError: when ``trainable`` is unknown.
    """

    trainable: str = "decoder"

    def __post_init__(self) -> None:
        if self.trainable not in _PARTS:
            raise ValueError(f"trainable must be one of {', '.join(map(repr, _PARTS))}, got {self.trainable!r}")

    @property
    def saves_base(self) -> bool:
        """True for ``"full"``: the whole model is what was trained."""
        return self.trainable == "full"

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """Both encoders, none with ``"full"``."""
        return frozenset() if self.trainable == "full" else super().frozen_encoders

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
