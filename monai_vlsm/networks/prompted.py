# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What all networks that take prompts share: shapes, the default prompt, and what a ``model.pt`` says about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from monai_vlsm.adapters import find_trained
from monai_vlsm.backbones import default_image_size, prompt_ids
from monai_vlsm.checkpoints import SETTINGS_KEY, TrainedState
from monai_vlsm.errors import UserError
from monai_vlsm.networks.prompt_rows import check_index, one_row_per_prompt, rows_of

__all__ = ["CLIP_MEAN", "CLIP_STD", "NoAdaptersError", "NotFrozenError", "PromptedNet"]

# of the images that CLIP was trained on (Radford et al., ICML 2021); CLIPSeg uses those of ImageNet
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_REMEDIES = {
    "vision": "Set cache_features to False, or leave the encoder alone: bundle vlsm_shallow, or clipseg with trainable "
    "decoder or none",
    "text": "Set encode_prompts to 'all' or 'distinct', or leave the encoder alone: bundle vlsm_dense with towers v, "
    "vlsm_shallow, or clipseg with trainable decoder or none",
}


class NoAdaptersError(UserError, ValueError):
    """Adapters were asked of a network that has no places for them."""


class NotFrozenError(UserError, ValueError):
    """Results of an encoder were to be kept, but the encoder trains or the network cannot run it alone."""


class ImageSizeError(UserError, ValueError):
    """A size of images that a network cannot take."""


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

    def forward(
        self,
        image: Tensor | None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        prompt_index: Tensor | None = None,
        frozen_image: Tensor | None = None,
        frozen_text: list[Tensor] | None = None,
        image_index: Tensor | None = None,
    ) -> Tensor:
        """Segment what the prompts name.

        Args:
            image: ``(B, 3, H, W)`` with H = W, normalised as the backbone expects it; ``(V, 3, H, W)`` with
                ``image_index``.
            input_ids: tokens ``(B, L)``, ``(B, K, L)`` for K prompts per image, or ``(1, L)`` for one prompt on all
                images. None uses the default prompt.
            attention_mask: 1 for tokens and 0 for padding, of the same shape.
            prompt_index: when images share prompts: which of the U rows of ``input_ids`` ``(U, L)`` the K prompts of
                each image are, ``(B, K)``. Each row is encoded once.
            frozen_image: what `encode_frozen_image` returned for the images; ``image`` is None then.
            frozen_text: what `encode_frozen_text` returned for U prompts, in place of tokens; needs ``prompt_index``.
            image_index: when the same image is asked several times: which of the V images the prompts of each of the B
                rows of tokens are about, ``(B,)``. Each image is encoded once.

        Returns:
            Logits ``(B, K, H, W)``, float32; with the meta of the images if they are a MetaTensor and there is no
            ``image_index``, for ``Invertd``.

        Raises:
            ValueError: when a shape does not fit, or not exactly one of ``image`` and ``frozen_image`` is given.
            NotFrozenError: when frozen results are given to a network that cannot go on from them.
        """
        if isinstance(image, MetaTensor):  # its bookkeeping costs time in each operation
            texts = (input_ids, attention_mask, prompt_index)
            logits = self.forward(image.as_tensor(), *texts, frozen_image, frozen_text, image_index)
            return logits if image_index is not None else MetaTensor(logits).copy_meta_from(image)
        if input_ids is None:
            input_ids, attention_mask = self.default_input_ids, None
        given = frozen_image if image is None else image
        if given is None or (image is not None and frozen_image is not None):
            raise ValueError("give an image or what encode_frozen_image made of it, one of the two")
        rows = given.shape[0] if image_index is None else image_index.shape[0]
        if not torch.jit.is_tracing():
            self._check_inputs(given, input_ids, image is None, prompt_index, frozen_text, rows)
        encoded = self.encode_image(given) if frozen_image is None else self.finish_image(given)
        if image_index is not None:
            encoded = rows_of(encoded, image_index)
        if prompt_index is None:
            ids = one_row_per_prompt(input_ids, rows)
            mask = None if attention_mask is None else one_row_per_prompt(attention_mask, rows)
            return self.decode(encoded, self.encode_text(ids, mask))
        text = self.encode_text(input_ids, attention_mask) if frozen_text is None else self.finish_text(frozen_text)
        return self.decode(encoded, rows_of(text, prompt_index.flatten()))

    @abstractmethod
    def encode_image(self, image: Tensor) -> Any:
        """First stage: all that follows from the images alone; ``image`` is ``(B, 3, H, W)``."""

    @abstractmethod
    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        """Second stage: all that follows from the prompts alone; both arguments are ``(B*K, L)``."""

    @abstractmethod
    def decode(self, image_features: Any, text_features: Any) -> Tensor:
        """Third stage: logits ``(B, K, H, W)`` in float32 from what the other two returned."""

    @property
    def frozen_towers(self) -> frozenset[str]:
        """Encoders, of ``"vision"`` and ``"text"``, that can run alone and give the same for an input for good."""
        return frozenset()

    def require_frozen(self, tower: str) -> None:
        """Check that results of an encoder may be kept.

        Raises:
            NotFrozenError: when they may not; the message says why and what to do.
        """
        if tower not in self.frozen_towers:
            trains = self.settings().get("adaptation", type(self).__name__)
            raise NotFrozenError(
                f"results of the {tower} encoder cannot be kept: it trains, or does not run alone, with {trains}. "
                f"{_REMEDIES[tower]}"
            )

    def frozen_settings(self, tower: str) -> dict[str, Any]:
        """Plain values on which the results of a frozen encoder depend, a fingerprint of its weights among them.

        Raises:
            NotFrozenError: when its results may not be kept.
        """
        raise NotFrozenError(f"{type(self).__name__} does not run its {tower} encoder alone")

    def encode_frozen_image(self, image: Tensor) -> Tensor:
        """The part of `encode_image` before all that trains: ``(B, F, N, C)``, F activations of each image.

        Raises:
            NotFrozenError: when the network has no such part.
        """
        raise NotFrozenError(f"{type(self).__name__} does not run its vision encoder alone")

    def finish_image(self, frozen: Tensor) -> Any:
        """The rest of `encode_image`, from what `encode_frozen_image` returned, in any floating-point type."""
        raise NotFrozenError(f"{type(self).__name__} does not go on from a frozen vision encoder")

    def encode_frozen_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> list[Tensor]:
        """The part of `encode_text` before all that trains: tensors with one row for each prompt.

        Raises:
            NotFrozenError: when the network has no such part.
        """
        raise NotFrozenError(f"{type(self).__name__} does not run its text encoder alone")

    def finish_text(self, frozen: list[Tensor]) -> Any:
        """The rest of `encode_text`, from what `encode_frozen_text` returned."""
        raise NotFrozenError(f"{type(self).__name__} does not go on from a frozen text encoder")

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

        Returns:
            The keys that are missing and those that are unexpected, as torch tells them.

        Raises:
            ModelMismatchError: when a ``model.pt`` belongs to another network.
        """
        if SETTINGS_KEY in state_dict:
            return TrainedState(self).load_state_dict(state_dict, strict, assign)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def _check_size(self, size: int) -> None:
        if size < self.stride or size % self.stride:
            lower = max(size // self.stride, 1) * self.stride
            raise ImageSizeError(
                f"image_size must be a multiple of {self.stride} for {type(self).__name__} on {self.backbone}, "
                f"got {size}; the nearest are {lower} and {lower + self.stride}"
            )

    def _check_inputs(
        self,
        image: Tensor,
        input_ids: Tensor,
        frozen: bool,
        index: Tensor | None,
        frozen_text: list[Tensor] | None,
        rows: int,
    ) -> None:
        if not frozen:
            self._check_image(image)
        if index is not None:
            check_index(index, rows, len(input_ids if frozen_text is None else frozen_text[0]))
        elif frozen_text is not None:
            raise ValueError("frozen_text needs prompt_index (B, K): which of its rows the prompts of each image are")
        elif input_ids.ndim not in (2, 3) or input_ids.shape[0] not in (1, rows):
            raise ValueError(
                f"input_ids must be (B, L), (B, K, L) or (1, L) for B = {rows} images, got {tuple(input_ids.shape)}"
            )

    def _check_image(self, image: Tensor) -> None:
        if image.ndim != 4 or image.shape[1] != 3 or image.shape[2] != image.shape[3] or image.shape[0] == 0:
            raise ValueError(
                f"image must be (B, 3, H, W) with H = W and B > 0, got {tuple(image.shape)}; "
                "ToRGBd makes three channels and ResizePictured makes it square"
            )
        self._check_size(image.shape[2])
