# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What all networks that take prompts share: shapes, the default prompt, and what a ``model.pt`` says about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from monai_vlsm.adapters import SETTINGS_KEY, TrainedState, find_trained
from monai_vlsm.backbones import default_image_size, prompt_ids
from monai_vlsm.errors import UserError

__all__ = ["CLIP_MEAN", "CLIP_STD", "NoAdaptersError", "PromptedNet"]

# of the images that CLIP was trained on (Radford et al., ICML 2021); CLIPSeg uses those of ImageNet
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


class NoAdaptersError(UserError, ValueError):
    """Adapters were asked of a network that has no places for them."""


class PromptedNet(nn.Module, ABC):
    """A network that segments what a text names, in three stages: `encode_image`, `encode_text`, `decode`.

    The image passes `encode_image` once, however many prompts it has. A subclass writes the stages, sets which
    parameters train, and ends its constructor with `remember_trained`.

    Args:
        backbone: a name from `monai_vlsm.backbones.known_backbones`, or a local folder.
        image_size: side of the square input in pixels. Images of other sizes work too; it is the size that a bundle
            resizes to and that ``model.pt`` records. None takes `monai_vlsm.backbones.default_image_size`.
        default_prompt: the text used when ``forward`` gets no tokens.
        stride: image sides must be a multiple of it.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
        ValueError: when ``image_size`` is not a multiple of ``stride``.
    """

    default_input_ids: Tensor
    image_mean: ClassVar[tuple[float, float, float]] = (0.485, 0.456, 0.406)
    """Mean of red, green and blue (0..1) that images are normalised with: that of ImageNet."""
    image_std: ClassVar[tuple[float, float, float]] = (0.229, 0.224, 0.225)
    """Standard deviation that images are normalised with."""

    def __init__(self, backbone: str | Path, image_size: int | None, default_prompt: str, stride: int) -> None:
        super().__init__()
        self.backbone = str(backbone)
        self.stride = stride
        self.image_size = image_size or default_image_size(backbone)
        self._check_size(self.image_size)
        self.default_prompt = default_prompt
        ids = torch.tensor([prompt_ids(backbone, default_prompt)], device="cpu")
        self.register_buffer("default_input_ids", ids, persistent=False)
        self.trained_names: tuple[str, ...] = ()
        self.existence_threshold = 0.0  # recorded only: the postprocessing uses it

    def forward(self, image: Tensor, input_ids: Tensor | None = None, attention_mask: Tensor | None = None) -> Tensor:
        """Segment what the prompts name.

        Args:
            image: ``(B, 3, H, W)`` with H = W, normalised as the backbone expects it.
            input_ids: tokens ``(B, L)``, ``(B, K, L)`` for K prompts per image, or ``(1, L)`` for one prompt on all
                images. None uses the default prompt.
            attention_mask: 1 for tokens and 0 for padding, of the same shape.

        Returns:
            Logits ``(B, K, H, W)``, float32.

        Raises:
            ValueError: when a shape does not fit.
        """
        if input_ids is None:
            input_ids, attention_mask = self.default_input_ids, None
        if not torch.jit.is_tracing():
            self._check_inputs(image, input_ids)
        ids = _one_row_per_prompt(input_ids, image.shape[0])
        mask = None if attention_mask is None else _one_row_per_prompt(attention_mask, image.shape[0])
        return self.decode(self.encode_image(image), self.encode_text(ids, mask))

    @abstractmethod
    def encode_image(self, image: Tensor) -> Any:
        """First stage: all that follows from the images alone; ``image`` is ``(B, 3, H, W)``."""

    @abstractmethod
    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        """Second stage: all that follows from the prompts alone; both arguments are ``(B*K, L)``."""

    @abstractmethod
    def decode(self, image_features: Any, text_features: Any) -> Tensor:
        """Third stage: logits ``(B, K, H, W)`` in float32 from what the other two returned."""

    def settings(self) -> dict[str, Any]:
        """What ``model.pt`` records about the network that it belongs to, as plain values."""
        return {
            "network": type(self).__name__,
            "backbone": self.backbone,
            "image_size": self.image_size,
            "default_prompt": self.default_prompt,
            "existence_threshold": self.existence_threshold,
        }

    def remember_trained(self, whole: bool = False) -> None:
        """Fix `trained_names`, the entries of the state that ``model.pt`` holds.

        Args:
            whole: True takes every entry. False takes the parameters that require gradients now, and the buffers of the
                modules that hold them (running statistics belong to a normalisation that trains).
        """
        self.trained_names = tuple(self.state_dict()) if whole else find_trained(self)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load all weights, or a ``model.pt``, whose base and settings are checked whoever loads it.

        Args:
            state_dict: a state of the whole network, or one that `TrainedState` wrote.
            strict: as in ``torch.nn.Module``; a ``model.pt`` must always be complete.
            assign: as in ``torch.nn.Module``.

        Raises:
            ModelMismatchError: when a ``model.pt`` belongs to another network.
        """
        if SETTINGS_KEY in state_dict:
            return TrainedState(self).load_state_dict(state_dict)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def _check_size(self, size: int) -> None:
        if size < self.stride or size % self.stride:
            lower = max(size // self.stride, 1) * self.stride
            raise ValueError(
                f"image size must be a multiple of {self.stride} for {type(self).__name__} on {self.backbone}, "
                f"got {size}; the nearest are {lower} and {lower + self.stride}"
            )

    def _check_inputs(self, image: Tensor, input_ids: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] != image.shape[3] or image.shape[0] == 0:
            raise ValueError(
                f"image must be (B, 3, H, W) with H = W and B > 0, got {tuple(image.shape)}; "
                "ToRGBd makes three channels and ResizePictured makes it square"
            )
        self._check_size(image.shape[2])
        if input_ids.ndim not in (2, 3) or input_ids.shape[0] not in (1, image.shape[0]):
            raise ValueError(
                f"input_ids must be (B, L), (B, K, L) or (1, L) for B = {image.shape[0]} images, "
                f"got {tuple(input_ids.shape)}"
            )


def _one_row_per_prompt(tokens: Tensor, images: int) -> Tensor:
    if tokens.ndim == 2:
        tokens = tokens.unsqueeze(1)
    return tokens.expand(images, -1, -1).flatten(0, 1)
