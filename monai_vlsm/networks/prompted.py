# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What all networks that take prompts share: shapes, the default prompt, and what a ``model.pt`` says about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import torch
from monai.data import MetaTensor
from torch import Tensor, nn

from monai_vlsm.adapters import find_trained
from monai_vlsm.backbones import default_image_size, prompt_ids
from monai_vlsm.checkpoints import PRECISION, REMEMBERED, SETTINGS_KEY, TrainedState
from monai_vlsm.networks.faults import ImageSizeError, NotFrozenError
from monai_vlsm.networks.prompt_rows import check_prompts, one_row_per_prompt, rows_of, without_padding

__all__ = ["CLIP_MEAN", "CLIP_STD", "PromptedNet"]

# of the images that CLIP was trained on (Radford et al., ICML 2021); CLIPSeg uses those of ImageNet
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_REMEDIES = {
    "vision": "Set cache_features to False, or leave the encoder alone: bundle vlsm_shallow, or clipseg with trainable "
    "decoder or none",
    "text": "Set text_cache to 'off' or 'batch', or leave the encoder alone: bundle vlsm_dense with encoders v, "
    "vlsm_shallow, or clipseg with trainable decoder or none",
}


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
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of red, green and blue (0..1) that images are normalised with: that of ImageNet."""
    image_std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    """Standard deviation that images are normalised with."""

    def __init__(self, backbone: str | Path, image_size: int | None, default_prompt: str, stride: int) -> None:
        super().__init__()
        self.backbone = str(backbone)
        self.stride = stride
        self.image_size = default_image_size(backbone) if image_size is None else image_size
        self._check_size(self.image_size)
        self.default_prompt = default_prompt
        ids = torch.tensor([prompt_ids(backbone, default_prompt)], device="cpu")
        self.register_buffer("default_input_ids", ids, persistent=False)
        self.trained_names: tuple[str, ...] = ()
        self.float32_fingerprints: dict[str, str] = {}  # of encoders, and of the base at "", once weights are rounded
        self.slices = 1  # that an image holds: its own and its neighbours
        self.cuts_padding = True  # False for a network that looks at it
        # is shown what goes into `decode`, as `monai_vlsm.handlers.ContrastiveTerm` is in training
        self.watch: Callable[[Any, Any], object] | None = None
        # recorded only, for what is around the network (see `REMEMBERED`)
        self.existence_threshold = 0.0
        self.temperature = 1.0
        self.window: Any = None
        self.context: int | None = None
        self.plane: str | None = None
        self.channel: int | None = None
        self.amp: bool | None = None
        self.amp_dtype: str | None = None

    def require_prompts(self, *datalists: Sequence[Mapping[str, Any]]) -> None:
        """Refuse records that this network cannot answer, before a run begins. One that reads prompts answers all.

        Args:
            datalists: records as from :func:`monai_vlsm.data.load_datalist` or :func:`monai_vlsm.data.probe_records`.

        Raises:
            UserError: names the prompt and says what to do.
        """

    def forward(self, image: Tensor, input_ids: Tensor | None = None, attention_mask: Tensor | None = None) -> Tensor:
        """Segment what the prompts name.

        Args:
            image: ``(B, 3, H, W)`` with H = W, normalised as the backbone expects it; ``(B, 3 slices, H, W)`` for a
                network whose slices attend to their neighbours, or fewer of these.
            input_ids: tokens ``(B, L)``, ``(B, K, L)`` for K prompts per image, or ``(1, L)`` for one prompt on all
                images. None uses the default prompt.
            attention_mask: 1 for tokens and 0 for padding, of the same shape.

        Returns:
            Logits ``(B, K, H, W)``, float32; with the meta of the images if they are a MetaTensor, for ``Invertd``.

        Raises:
            ValueError: when a shape does not fit.
        """
        logits = self.forward_rows(image, input_ids, attention_mask)
        return MetaTensor(logits).copy_meta_from(image) if isinstance(image, MetaTensor) else logits

    def forward_rows(
        self,
        image: Tensor,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        *,
        image_index: Tensor | None = None,
        prompt_index: Tensor | None = None,
        frozen_image: bool = False,
        frozen_text: list[Tensor] | None = None,
        encoded_text: Any = None,
    ) -> Tensor:
        """`forward` for B rows that share V images or U prompts, or whose frozen encoders have run: what caches call.

        `monai_vlsm.inferers.call_rows` calls it, through DistributedDataParallel and compiled too.

        Args:
            image: ``(V, 3, H, W)``, or what `encode_frozen_image` returned for V images.
            input_ids: as in `forward` for B images; ``(U, L)`` with ``prompt_index``.
            attention_mask: of the same shape.
            image_index: which of the V images each row is about, ``(B,)``; None where B = V.
            prompt_index: which of the U prompts the K prompts of each row are, ``(B, K)``.
            frozen_image: whether ``image`` comes from `encode_frozen_image`.
            frozen_text: what `encode_frozen_text` returned for U prompts, in place of tokens; needs ``prompt_index``.
            encoded_text: what `encode_text` returned for U prompts, likewise.

        Returns:
            Logits ``(B, K, H, W)``, float32, without meta.

        Raises:
            ValueError: when a shape does not fit.
            NotFrozenError: when frozen results are given to a network that cannot go on from them.
        """
        image = image.as_tensor() if isinstance(image, MetaTensor) else image  # meta costs time in each operation
        ids, mask = (self.default_input_ids, None) if input_ids is None else (input_ids, attention_mask)
        rows = image.shape[0] if image_index is None else image_index.shape[0]
        if not torch.jit.is_tracing():
            if not frozen_image:
                self._check_image(image)
            check_prompts(ids, rows, prompt_index, frozen_text if encoded_text is None else encoded_text)
        tokens = self._one_row_per_prompt(ids, mask, rows if prompt_index is None else ids.shape[0])
        encoded = self.finish_image(image) if frozen_image else self.encode_image(image)
        encoded = encoded if image_index is None else rows_of(encoded, image_index)
        text = encoded_text
        if text is None:
            text = self.encode_text(*tokens) if frozen_text is None else self.finish_text(frozen_text)
        return self.decode(encoded, text if prompt_index is None else rows_of(text, prompt_index.flatten()))

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
    def frozen_encoders(self) -> frozenset[str]:
        """Encoders, of ``"vision"`` and ``"text"``, that can run alone and give the same for an input for good."""
        return frozenset()

    def half_modules(self) -> Sequence[nn.Module]:
        """Parts whose linear layers and convolutions run under autocast only, whenever it is on; see `round_frozen`."""
        return ()

    def require_frozen(self, encoder: str) -> None:
        """Check that results of an encoder may be kept.

        Raises:
            NotFrozenError: when they may not; the message says why and what to do.
        """
        if encoder not in self.frozen_encoders:
            trains = self.settings().get("adaptation", type(self).__name__)
            raise NotFrozenError(
                f"results of the {encoder} encoder cannot be kept: it trains, or does not run alone, with {trains}. "
                f"{_REMEDIES[encoder]}"
            )

    def frozen_settings(self, encoder: str) -> dict[str, Any]:
        """Plain values on which the results of a frozen encoder depend, a fingerprint of its weights among them.

        Raises:
            NotFrozenError: when its results may not be kept.
        """
        raise NotFrozenError(f"{type(self).__name__} does not run its {encoder} encoder alone")

    def encode_frozen_image(self, image: Tensor) -> Tensor:
        """The part of `encode_image` before all that trains: ``(B, F, N, C)``, F activations of each image.

        Raises:
            NotFrozenError: when the network has no such part.
        """
        raise NotFrozenError(f"{type(self).__name__} does not run its vision encoder alone")

    def finish_image(self, frozen: Tensor) -> Any:
        """The rest of `encode_image`, from what `encode_frozen_image` returned, in any floating-point type."""
        raise NotFrozenError(f"{type(self).__name__} does not go on from a frozen vision encoder")

    def encode_frozen_text(self, input_ids: Tensor) -> list[Tensor]:
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
            **({"temperature": self.temperature} if self.temperature != 1 else {}),
            **{name: value for name in REMEMBERED if (value := getattr(self, name)) is not None},
        }

    def trained_in(self, amp: bool, half: str | Literal[False]) -> Self:
        """Record the precision of a training (`monai_vlsm.checkpoints.PRECISION`), and return the network itself.

        ``half`` is the type on a GPU, False elsewhere: nothing shows then that float16 does not overflow.
        """
        self.amp, self.amp_dtype = amp, half or PRECISION["amp_dtype"]
        return self

    def remember_trained(self, whole: bool = False, added: Collection[str] = ()) -> None:
        """Fix `trained_names`, the entries of the state that ``model.pt`` holds.

        Args:
            whole: True takes every entry. False takes the parameters that require gradients now, and the buffers of the
                modules that hold them (running statistics belong to a normalisation that trains).
            added: further names, of what does not train and is not of the base (projections that stay as drawn).
        """
        names = {*find_trained(self), *added}
        self.trained_names = tuple(name for name in self.state_dict() if whole or name in names)

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

    def _one_row_per_prompt(self, ids: Tensor, mask: Tensor | None, images: int) -> tuple[Tensor, Tensor | None]:
        """Tokens and mask as ``(B*K, L)``, L being the length of the longest prompt."""
        ids, mask = one_row_per_prompt(ids, images), None if mask is None else one_row_per_prompt(mask, images)
        return without_padding(ids, mask) if self.cuts_padding else (ids, mask)

    def _check_image(self, image: Tensor) -> None:
        # a slice, and one more on either side; a tuple, since torch.compile cannot look for a free size in a range
        channels = tuple(range(3, 3 * self.slices + 1, 6))
        if image.ndim != 4 or image.shape[1] not in channels or image.shape[2] != image.shape[3] or len(image) == 0:
            raise ValueError(
                f"image must be (B, {' or '.join(map(str, channels))}, H, W) with H = W and B > 0, got "
                f"{tuple(image.shape)}; ToRGBd makes the channels and ResizeImaged makes it square"
            )
        self._check_size(image.shape[2])
