# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Telescopic adapters: narrow in the first layers of the vision encoder, wide in the last ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.attach import attach_adapter
from monai_vlsm.adapters.placement import check_positive
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters, LayerTargets

__all__ = ["BoundaryEnhancer", "TelescopicAdaptation", "TelescopicBlock"]

LEAST = 8  # bottleneck
TEXT_LAYERS = 3  # the last ones


class TelescopicBlock(nn.Module):
    """``x + scale * up(dropout(silu(norm(down(x)))))``, the linear layers without bias.

    As in the authors' code ``up`` keeps torch's initialisation and ``scale`` begins at 0.1, so training does not begin
    at the frozen network.

    Args:
        width: size of the last dimension of the input and output.
        bottleneck: size between the two layers; not above a quarter of ``width``, and not below 8.
        dropout: probability of dropping a value of the bottleneck in training mode.
    """

    def __init__(self, width: int, bottleneck: int, dropout: float) -> None:
        super().__init__()
        bottleneck = max(LEAST, min(bottleneck, width // 4))
        self.down = nn.Linear(width, bottleneck, bias=False)
        self.norm = nn.LayerNorm(bottleneck)
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(bottleneck, width, bias=False)
        self.scale = nn.Parameter(torch.tensor(0.1))

    def forward(self, x: Tensor) -> Tensor:
        """Adapt activations ``(..., width)``."""
        change: Tensor = self.scale * self.up(self.dropout(silu(self.norm(self.down(x)))))
        return x + change


class BoundaryEnhancer(nn.Module):
    """``logits * (1 + sigmoid(weigh(silu(norm(edges(logits))))))``: a 3 x 3 convolution to 4 channels, a 1 x 1 to one.

    ``norm`` is a batch normalisation: in training mode it goes by all masks of a batch, in evaluation mode by its
    running statistics, so the masks of a batch do not influence each other there. The statistics are entries of
    ``model.pt`` and of every checkpoint. Whoever averages models (federated learning, a moving average) averages the
    running mean and variance like weights, and takes ``num_batches_tracked``, which nothing here reads, from either.
    """

    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.Conv2d(1, 4, kernel_size=3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.weigh = nn.Conv2d(4, 1, kernel_size=1, bias=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Adapt logits ``(B, K, H, W)``, each mask by itself."""
        each = logits.flatten(0, 1).unsqueeze(1)
        return logits * (1 + torch.sigmoid(self.weigh(silu(self.norm(self.edges(each)))))).view_as(logits)


@dataclass(frozen=True)
class TelescopicAdaptation(Adaptation):
    """Telescopic Adapters (arXiv 2512.13855, WACV 2026), after the authors' code for inference.

    A `TelescopicBlock` stands where a dense adapter would: behind the attention and the MLP of a layer, before the
    residual addition. In the vision encoder that is each layer in front of the deepest that the decoder reads, its
    bottleneck growing in proportion to its depth: 8, 8, 10, 14, 17, 21, 24, 28, 32. In the text encoder it is the last
    three layers. One more is on the text embedding, and a `BoundaryEnhancer` on the logits.

    At the size of CIDAS/clipseg-rd64-refined: 498,330 + 98,502 + 16,417 + 48 = 613,297 parameters.

    Args:
        width: bottleneck in the last adapted layer of the vision encoder.
        text_width: bottleneck in the text encoder.
        condition_width: bottleneck on the text embedding.
        boundary: whether the logits are adapted too.
        dropout: of the blocks.

    Raises:
        AdaptationError: when a width is not positive, or ``dropout`` is not from 0 to below 1.
    """

    width: int = 32
    text_width: int = 16
    condition_width: int = 16
    boundary: bool = True
    dropout: float = 0.1

    def __post_init__(self) -> None:
        for name in ("width", "text_width", "condition_width"):
            check_positive(name, getattr(self, name))
        if not isinstance(self.boundary, bool):
            raise AdaptationError(f"boundary must be True or False, got {self.boundary!r}")
        if type(self.dropout) not in (int, float) or not 0 <= self.dropout < 1:
            raise AdaptationError(f"dropout must be a number from 0 to below 1, got {self.dropout!r}")

    @property
    def citations(self) -> tuple[str, ...]:
        """Of Telescopic Adapters."""
        return ("Telescopic Adapters. arXiv 2512.13855, WACV 2026.",)

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """None."""
        return frozenset()

    @property
    def changes(self) -> frozenset[str]:
        """Attention and MLP of both encoders, the text embedding, and the logits with ``boundary``."""
        inside = {f"{encoder} {part}" for encoder in ("vision", "text") for part in ("attention", "MLP")}
        return frozenset(inside | {"text embedding"} | ({"logits"} if self.boundary else set()))

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Attach the blocks of the encoders and return the others.

        Args:
            targets: the places that the network offers.
        """
        depth = max(targets.extract_layers)
        for index, layer in enumerate(targets.vision.layers[:depth]):
            self._adapt(layer, targets.vision.width, self.width * (index + 1) // depth)
        for layer in targets.text.layers[-TEXT_LAYERS:]:
            self._adapt(layer, targets.text.width, self.text_width)
        return _TelescopicFeatureAdapters(targets.condition_width, self)

    def _adapt(self, layer: LayerTargets, width: int, bottleneck: int) -> None:
        for module in (layer.attention, layer.mlp):
            attach_adapter(module, TelescopicBlock(width, bottleneck, self.dropout))


class _TelescopicFeatureAdapters(FeatureAdapters):
    def __init__(self, width: int, adaptation: TelescopicAdaptation) -> None:
        super().__init__()
        self.condition_adapter = TelescopicBlock(width, adaptation.condition_width, adaptation.dropout)
        self.boundary = BoundaryEnhancer() if adaptation.boundary else None

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        adapted: Tensor = self.condition_adapter(embedding)
        return adapted

    def logits(self, logits: Tensor) -> Tensor:
        return logits if self.boundary is None else self.boundary(logits)
