# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Shallow adapters: between the frozen encoders and the decoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.block import BottleneckAdapter
from monai_vlsm.adapters.placement import CITATION, check_placement
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters

__all__ = ["ShallowAdaptation"]


@dataclass(frozen=True)
class ShallowAdaptation(Adaptation):
    """Shallow adapters of VLSM-Adapter (section 2.3.1): on what the decoder reads, not inside the encoders.

    One adapter for each vision activation that the decoder reads. With ``encoders="vl"`` also one for each text state
    after the layers of the same numbers, at the end-of-text token; their outputs are added to the text embedding. An
    adapter's output includes its input, so even adapters that add nothing change the embedding. The encoders get no
    gradients. The paper's variants are V (``encoders="v"``), VL (``encoders="vl"``) and VLC (``encoders="vl",
    condition_width=256``).

    Args:
        encoders: ``"v"`` adapts what comes from the vision encoder, ``"vl"`` also what comes from the text encoder.
        width: bottleneck of the adapters.
        condition_width: bottleneck of the adapter on the text embedding, which acts before the text states are added,
            or None for no such adapter. The authors use 256.

    Raises:
        AdaptationError: when ``encoders`` is unknown or a width is not positive.
    """

    encoders: str = "vl"
    width: int = 512
    condition_width: int | None = None

    def __post_init__(self) -> None:
        check_placement(self.encoders, self.width, self.condition_width)

    @property
    def citations(self) -> tuple[str, ...]:
        """Of VLSM-Adapter."""
        return (CITATION,)

    @property
    def changes(self) -> frozenset[str]:
        """What the decoder reads, and the text embedding."""
        text = self.encoders == "vl" or self.condition_width
        return frozenset({"skips", "text embedding"} if text else {"skips"})

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Make the adapters; nothing is attached to the encoders.

        Args:
            targets: the places that the network offers.

        Returns:
            FeatureAdapters that adapt the vision activations, and with ``encoders="vl"`` the text embedding.

        Raises:
            AdaptationError: when text states are to be added to an embedding of another width.
        """
        if self.encoders == "vl" and targets.text.width != targets.condition_width:
            raise AdaptationError(
                f"shallow text adapters need a text encoder as wide as its embedding, got {targets.text.width} and "
                f"{targets.condition_width}; use encoders='v' with this backbone"
            )
        return _ShallowFeatureAdapters(targets, self)


class _ShallowFeatureAdapters(FeatureAdapters):
    def __init__(self, targets: AdapterTargets, adaptation: ShallowAdaptation) -> None:
        super().__init__()
        width, condition_width = adaptation.width, adaptation.condition_width
        self.text_layers = targets.extract_layers if adaptation.encoders == "vl" else ()
        self.skip_adapters = nn.ModuleList(
            BottleneckAdapter(targets.vision.width, width) for _ in targets.extract_layers
        )
        self.text_adapters = nn.ModuleList(BottleneckAdapter(targets.text.width, width) for _ in self.text_layers)
        self.condition_adapter = (
            None if condition_width is None else BottleneckAdapter(targets.condition_width, condition_width)
        )

    def skips(self, skips: list[Tensor]) -> list[Tensor]:
        return [adapter(skip) for adapter, skip in zip(self.skip_adapters, skips, strict=True)]

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        if self.condition_adapter is not None:
            embedding = self.condition_adapter(embedding)
        for adapter, state in zip(self.text_adapters, states, strict=True):
            embedding = embedding + adapter(state)
        return embedding
