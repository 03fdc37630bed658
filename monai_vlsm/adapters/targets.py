# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a network offers to adapt: its layers, seen from outside, and the places between its stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

__all__ = ["AdapterTargets", "EncoderTargets", "FeatureAdapters", "LayerTargets"]

WEIGHTED = ("norm1", "norm2", "query", "key", "value", "out", "fc1", "fc2")
"""What holds weights in a layer, by the names that `Adaptation.changes` has for it."""


@dataclass(frozen=True)
class LayerTargets:
    """One transformer layer, seen from outside.

    Args:
        module: the whole layer.
        attention: the self-attention; what it returns is what the residual addition takes.
        mlp: the MLP, likewise.
        norms: the normalisations in front of the attention and of the MLP; behind them, after the residual addition,
            where not ``norm_first``.
        query: projection of the attention to queries.
        key: to keys.
        value: to values.
        out: projection of what was attended to.
        fc1: first layer of the MLP.
        fc2: second layer of the MLP.
        norm_first: False in BERT.
    """

    module: nn.Module
    attention: nn.Module
    mlp: nn.Module
    norms: tuple[nn.Module, nn.Module]
    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    out: nn.Linear
    fc1: nn.Linear
    fc2: nn.Linear
    norm_first: bool = True

    @property
    def weighted(self) -> tuple[nn.Module, ...]:
        """All modules of the layer that hold weights, in the order of `WEIGHTED`."""
        return (*self.norms, self.query, self.key, self.value, self.out, self.fc1, self.fc2)


@dataclass(frozen=True)
class EncoderTargets:
    """One transformer encoder, seen from outside.

    Args:
        width: size of its hidden states.
        layers: first to last.
    """

    width: int
    layers: Sequence[LayerTargets]

    @property
    def attentions(self) -> list[nn.Module]:
        """The self-attention of each layer."""
        return [layer.attention for layer in self.layers]

    @property
    def mlps(self) -> list[nn.Module]:
        """The MLP of each layer."""
        return [layer.mlp for layer in self.layers]


@dataclass(frozen=True)
class AdapterTargets:
    """The places of a network where adapters can sit.

    Args:
        vision: the vision encoder.
        text: the text encoder.
        extract_layers: zero-based vision layers whose outputs the decoder reads.
        condition_width: size of the text embedding that conditions the decoder.
        decoder: the decoder.
        used: all modules that the forward pass runs, the decoder among them.
        entrance: what the tokens of an image ``(B, N, C)`` pass in front of the first vision layer, one by one: CLIP's
            normalisation. None where there is no such module.
    """

    vision: EncoderTargets
    text: EncoderTargets
    extract_layers: tuple[int, ...]
    condition_width: int
    decoder: nn.Module
    used: Sequence[nn.Module]
    entrance: nn.Module | None = None

    def computed_layers(self, encoders: str) -> list[LayerTargets]:
        """Layers that the forward pass runs: up to the deepest that the decoder reads, and all of the text encoder.

        Args:
            encoders: ``"v"`` for those of the vision encoder, ``"vl"`` for those of the text encoder behind them.
        """
        vision = self.vision.layers[: max(self.extract_layers) + 1]
        return [*vision, *(self.text.layers if encoders == "vl" else ())]


class FeatureAdapters(nn.Module):
    """The places between the stages of a network where an adaptation can act; here it leaves all as they are.

    ``text_layers`` names the zero-based text layers whose states `condition` wants to see, ``meeting_layers`` those of
    both encoders in front of which image and text `meet`, in rising order. Where there are any, the vision encoder runs
    for each pair of image and prompt.
    """

    text_layers: tuple[int, ...] = ()
    meeting_layers: tuple[int, ...] = ()

    def skips(self, skips: list[Tensor]) -> list[Tensor]:
        """Adapt what the decoder reads from the vision encoder.

        Args:
            skips: one tensor ``(B, N, C)`` for each extracted layer; ``(B, K, N, C)`` if ``slices`` is above 1.

        Returns:
            The same number of tensors ``(B, N, C)``.
        """
        return skips

    def condition(self, embedding: Tensor, states: list[Tensor]) -> Tensor:
        """Adapt the text embedding.

        Args:
            embedding: ``(B, D)``.
            states: for each of ``text_layers`` its output at the end-of-text token, ``(B, C)``, before any final
                normalisation or projection.

        Returns:
            ``(B, D)``.
        """
        return embedding

    def meet(self, layer: int, image: Tensor, text: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Adapt what goes into a layer of both encoders.

        Args:
            layer: one of ``meeting_layers``.
            image: for each pair of image and prompt the tokens of the image, ``(B, N, C)``.
            text: those of the prompt, ``(B, L, D)``.
            words: which of these are no padding, ``(B, L)`` bool.

        Returns:
            ``image`` and ``text``, of the same shapes.
        """
        return image, text

    def logits(self, logits: Tensor) -> Tensor:
        """Adapt what the decoder returns.

        Args:
            logits: one row for each pair of image and prompt, ``(B, 1, H, W)``, float32 at least.

        Returns:
            ``(B, 1, H, W)``.
        """
        return logits
