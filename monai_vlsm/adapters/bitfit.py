# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""BitFit: the biases of the encoders train, and nothing is added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai_vlsm.adapters.adaptation import Adaptation
from monai_vlsm.adapters.placement import InEncoders, encoder_names
from monai_vlsm.adapters.targets import WEIGHTED, AdapterTargets, FeatureAdapters

__all__ = ["BitFitAdaptation"]


@dataclass(frozen=True)
class BitFitAdaptation(InEncoders, Adaptation):
    """BitFit: ``W x + b`` where b trains and W does not, in all layers of the encoders.

    Ben Zaken et al., BitFit (ACL 2022). Trained are the biases in the vision layers that are computed (0 to 9 of
    CLIPSeg) and in all text layers: of two normalisations, queries, keys, values, outputs, both layers of the MLP. That
    of keys cannot matter: attention is the same when all keys move by one vector.

    Each layer of width d has 11 d of them: 152,064 at the size of the released CLIPSeg, 84,480 with ``encoders="v"``.

    Args:
        encoders: ``"v"`` trains those of the vision encoder, ``"vl"`` those of the vision and the text encoder.

    Raises:
        AdaptationError: when ``encoders`` is unknown.
    """

    @property
    def citations(self) -> tuple[str, ...]:
        """Of BitFit."""
        return (
            "Ben Zaken, Goldberg, Ravfogel: BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based "
            "Masked Language-models. ACL 2022.",
        )

    @property
    def changes(self) -> frozenset[str]:
        """The biases of all layers."""
        return frozenset(f"{encoder} {name} bias" for encoder in encoder_names(self.encoders) for name in WEIGHTED)

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Let the biases train.

        Args:
            targets: the places that the network offers.
        """
        for layer in targets.computed_layers(self.encoders):
            for module in layer.weighted:
                bias: Any = module.bias
                bias.requires_grad_(True)
        return FeatureAdapters()

    def merge(self, trained: AdapterTargets, plain: AdapterTargets) -> None:
        """Nothing is left to do: weights of the network itself were trained."""
