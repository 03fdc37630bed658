# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Dense adapters: behind the attention and the MLP of each adapted layer."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from monai_vlsm.adapters.adaptation import Adaptation
from monai_vlsm.adapters.attach import attach_adapter
from monai_vlsm.adapters.block import BottleneckAdapter
from monai_vlsm.adapters.placement import CITATION, InEncoders, check_placement, encoder_names
from monai_vlsm.adapters.targets import AdapterTargets, EncoderTargets, FeatureAdapters

__all__ = ["DenseAdaptation"]


@dataclass(frozen=True)
class DenseAdaptation(InEncoders, Adaptation):
    """Dense adapters of VLSM-Adapter (section 2.3.2): before both residual additions of the adapted layers.

    Adapted are the first ``max(extract_layers)`` layers of each encoder. For CLIPSeg these are the layers 0 to 8:
    layer 9 is the deepest that the decoder reads, and the authors leave it bare. The paper's variants are V
    (``encoders="v"``), VL (``encoders="vl"``) and VLC (``encoders="vl", condition_width=256``).

    Args:
        encoders: ``"v"`` adapts the vision encoder, ``"vl"`` the vision and the text encoder.
        width: bottleneck of the adapters in the encoders.
        condition_width: bottleneck of the adapter on the text embedding, or None for no such adapter. The authors
            use 256.

    Raises:
        AdaptationError: when ``encoders`` is unknown or a width is not positive.
    """

    width: int = 64
    condition_width: int | None = None

    def __post_init__(self) -> None:
        check_placement(self.encoders, self.width, self.condition_width)

    @property
    def citations(self) -> tuple[str, ...]:
        """Of VLSM-Adapter."""
        return (CITATION,)

    @property
    def changes(self) -> frozenset[str]:
        """Attention and MLP of the adapted encoders, and the text embedding with ``condition_width``."""
        inside = {f"{encoder} {part}" for encoder in encoder_names(self.encoders) for part in ("attention", "MLP")}
        return frozenset(inside | ({"text embedding"} if self.condition_width else set()))

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Attach the adapters of the encoders and return the feature_adapters with the one on the text embedding.

        Args:
            targets: the places that the network offers.

        Returns:
            FeatureAdapters that adapt the condition ``(B, D)`` when ``condition_width`` is set.
        """
        depth = max(targets.extract_layers)
        for name in encoder_names(self.encoders):
            self._adapt(getattr(targets, name), depth)
        return _DenseFeatureAdapters(targets.condition_width, self.condition_width)

    def _adapt(self, encoder: EncoderTargets, depth: int) -> None:
        for module in (*encoder.attentions[:depth], *encoder.mlps[:depth]):
            attach_adapter(module, BottleneckAdapter(encoder.width, self.width))


class _DenseFeatureAdapters(FeatureAdapters):
    def __init__(self, width: int, bottleneck: int | None) -> None:
        super().__init__()
        self.condition_adapter = None if bottleneck is None else BottleneckAdapter(width, bottleneck)

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        return embedding if self.condition_adapter is None else self.condition_adapter(embedding)
