# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Image and text that look at each other inside of the encoders."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.cross_attention import GatedCrossAttention
from monai_vlsm.adapters.placement import check_positive
from monai_vlsm.adapters.targets import AdapterTargets, FeatureAdapters

__all__ = ["CrossModalAdaptation", "CrossModalBlock"]


class CrossModalBlock(nn.Module):
    """Image tokens attend to the words, then words to the new image tokens, in a space narrower than either.

    ``up`` begins at zero on both sides, so the block begins as the identity.

    Args:
        vision_width: size of the states of image tokens.
        text_width: size of the states of words.
        width: size in which they attend to each other.
        variational: see `GatedCrossAttention`.
    """

    def __init__(self, vision_width: int, text_width: int, width: int, variational: bool) -> None:
        super().__init__()
        self.image_down = nn.Linear(vision_width, width, bias=False)
        self.text_down = nn.Linear(text_width, width, bias=False)
        self.image_attention = GatedCrossAttention(width, variational)
        self.text_attention = GatedCrossAttention(width, variational)
        self.image_up = nn.Linear(width, vision_width, bias=False)
        self.text_up = nn.Linear(width, text_width, bias=False)
        nn.init.zeros_(self.image_up.weight)
        nn.init.zeros_(self.text_up.weight)

    def forward(self, image: Tensor, text: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Adapt the states of B pairs of image and prompt.

        Args:
            image: ``(B, N, vision_width)``.
            text: ``(B, L, text_width)``.
            words: which tokens of the text count, ``(B, L)`` bool; the others are padding.

        Returns:
            Both, in the same shapes.
        """
        seen, read = self.image_down(image), self.text_down(text)
        seen = self.image_attention(seen, read, words)
        read = self.text_attention(read, seen)
        return image + self.image_up(seen), text + self.text_up(read)


@dataclass(frozen=True)
class CrossModalAdaptation(Adaptation):
    """Vision-language attention before the layers of both encoders, after MedCLIPSeg (arXiv 2602.20423, CVPR 2026).

    A `CrossModalBlock` stands before each layer from the second to the deepest that the decoder reads, of both encoders
    at once: before layers 1 to 9 of CLIPSeg. Other than there the width is small, padding is hidden, the decoder is
    CLIPSeg's, and training begins at the frozen network.

    What the vision encoder makes of an image depends on the prompt, so it runs for each prompt, not once for an image:
    a prompt costs as much as another image. Nothing but the first layer can be shared, and no cache keeps more.

    At the size of CIDAS/clipseg-rd64-refined: 9 x 214,274 = 1,928,466 parameters, without ``variational`` 1,778,706.

    Args:
        width: size in which image and text attend to each other.
        variational: whether keys and values are distributions, see `GatedCrossAttention`.

    Raises:
        AdaptationError: when ``width`` is not positive.
    """

    width: int = 64
    variational: bool = True

    def __post_init__(self) -> None:
        check_positive("width", self.width)
        if not isinstance(self.variational, bool):
            raise AdaptationError(f"variational must be True or False, got {self.variational!r}")

    @property
    def citations(self) -> tuple[str, ...]:
        """Of MedCLIPSeg."""
        return ("MedCLIPSeg. arXiv 2602.20423, CVPR 2026.",)

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """None."""
        return frozenset()

    @property
    def changes(self) -> frozenset[str]:
        """What goes from layer to layer in both encoders."""
        return frozenset({"vision stream", "text stream"})

    def install(self, targets: AdapterTargets) -> FeatureAdapters:
        """Make the blocks, which the network calls between the layers of its encoders.

        Args:
            targets: the places that the network offers.
        """
        return _CrossModalFeatureAdapters(targets, self)


class _CrossModalFeatureAdapters(FeatureAdapters):
    def __init__(self, targets: AdapterTargets, adaptation: CrossModalAdaptation) -> None:
        super().__init__()
        depth = min(max(targets.extract_layers) + 1, len(targets.text.layers))
        self.meeting_layers = tuple(range(1, depth))
        widths = targets.vision.width, targets.text.width, adaptation.width
        self.blocks = nn.ModuleList(CrossModalBlock(*widths, adaptation.variational) for _ in self.meeting_layers)

    def meet(self, layer: int, image: Tensor, text: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        met: tuple[Tensor, Tensor] = self.blocks[self.meeting_layers.index(layer)](image, text, words)
        return met
