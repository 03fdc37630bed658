# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Visual prompts: tokens that are learned, beside those of the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.placement import check_positive
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters

__all__ = ["PromptTokens", "VisualPromptAdaptation"]


class PromptTokens(nn.Module):
    """Tokens that are put behind those of an image, drawn from N(0, 0.02).

    Args:
        count: how many.
        width: of the states that they go with.
    """

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(0.02 * torch.randn(count, width))

    def forward(self, states: Tensor) -> Tensor:
        """``(B, N, C)`` to ``(B, N + count, C)``."""
        return torch.cat([states, self.tokens.to(states.dtype).expand(states.shape[0], -1, -1)], dim=1)


@dataclass(frozen=True)
class VisualPromptAdaptation(Adaptation):
    """Deep visual prompt tuning (Jia et al., ECCV 2022), placed as TuneVLSeg does (Poudel et al., ACCV 2024).

    Every layer of the vision encoder that is computed reads, behind the tokens of the image, a few that are learned:
    ``layer_k([image, tokens_k])``. What it makes of them is cut off, so those of layer k replace those of layer k - 1.
    The first ones come in before CLIP's ``pre_layrnorm``, which normalises each token by itself; positions are those of
    the image and are interpolated as without them. The authors' decoder attends to the last ones; here it reads the
    tokens of the image alone.

    The tokens are attended to from the first step on, so training does not begin at the frozen network.

    At the size of CIDAS/clipseg-rd64-refined: 10 layers x 10 tokens x 768 = 76,800 parameters.

    Args:
        tokens: how many in each layer, at most the width of the encoder.

    Raises:
        AdaptationError: when ``tokens`` is no positive whole number.
    """

    tokens: int = 10

    def __post_init__(self) -> None:
        check_positive("tokens", self.tokens)

    @property
    def citations(self) -> tuple[str, ...]:
        """Of deep visual prompts, and of where they sit here."""
        return (
            "Jia et al.: Visual Prompt Tuning. ECCV 2022.",
            "Poudel et al.: TuneVLSeg: Prompt Tuning Benchmark for Vision-Language Segmentation Models. ACCV 2024.",
        )

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """The text encoder."""
        return frozenset({"text"})

    @property
    def changes(self) -> frozenset[str]:
        """The tokens of the vision encoder."""
        return frozenset({"vision tokens"})

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Put the tokens in front of each layer, and a knife behind it.

        Args:
            targets: the places that the network offers.

        Raises:
            AdaptationError: when there are more tokens than the encoder is wide.
        """
        width = targets.vision.width
        if self.tokens > width:
            raise AdaptationError(
                f"{self.tokens} prompt tokens do not fit an encoder of width {width}, in which more than {width} only "
                f"repeat one another; take from 1 to {width}, 10 are usual"
            )
        layers = [layer.module for layer in targets.computed_layers("v")]
        first = layers[0] if targets.entrance is None else targets.entrance
        for entrance, layer in zip((first, *layers[1:]), layers, strict=True):
            entrance.add_module("prompts", PromptTokens(self.tokens, width))
            entrance.register_forward_pre_hook(_append)
            layer.register_forward_hook(partial(_cut, self.tokens))
        return FeatureAdapters()


def _append(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    prompts: Any = module.prompts
    return (prompts(args[0]), *args[1:])


def _cut(count: int, _module: nn.Module, _args: tuple[Any, ...], output: Tensor) -> Tensor:
    return output[:, :-count]
