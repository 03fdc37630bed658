# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CLIPSeg with adapters, as a network that MONAI can train, trace and save."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.clipseg.modeling_clipseg import CLIPSegTextModel, CLIPSegVisionModel

from monai_vlsm.adapters import SETTINGS_KEY, Adaptation, AdapterState, Sites, Tower, freeze_base
from monai_vlsm.backbones import load_config, load_tokenizer
from monai_vlsm.networks.pretrained import load_base

__all__ = ["CLIPSegNet", "default_image_size"]


class CLIPSegNet(nn.Module):
    """Text-prompted segmentation: a frozen CLIPSeg (Lüddecke and Ecker, CVPR 2022) with trainable adapters.

    ``forward`` is `encode_image`, `encode_text` and `decode`, in this order. An image passes the vision encoder once,
    however many prompts it has; vision layers that the decoder does not read are not computed.

    Args:
        backbone: a name from `monai_vlsm.backbones.known_backbones`, or a local folder in Hugging Face layout.
        adaptation: which adapters to add, for example ``DenseAdaptation(towers="vl")``. None adds none.
        image_size: side of the square input in pixels, a multiple of the patch size. Images of other sizes work too;
            it is the size that a bundle resizes to and that adapter files record. None takes `default_image_size`.
        default_prompt: the text used when ``forward`` gets no tokens.
        dropout: probability of dropping an activation on its way to the decoder, in training mode.
        load_weights: False builds the network with random weights and without network access.

    Raises:
        BackboneNotFoundError: when backbone, weights or tokenizer cannot be had.
        BackboneWeightsError: when the weights are of another model.
        ValueError: when ``image_size`` is not a multiple of the patch size.
    """

    default_input_ids: Tensor

    def __init__(
        self,
        backbone: str | Path = "CIDAS/clipseg-rd64-refined",
        adaptation: Adaptation | None = None,
        image_size: int | None = None,
        default_prompt: str = "",
        dropout: float = 0.0,
        load_weights: bool = True,
    ) -> None:
        super().__init__()
        self.backbone = str(backbone)
        self.adaptation = adaptation or Adaptation()
        self.base = load_base(backbone, load_weights)
        self.config: Any = self.base.config  # transformers types its parts as "config, dict or None"
        self.image_size = image_size or default_image_size(backbone)
        self._check_size(self.image_size)
        self.default_prompt = default_prompt
        self.register_buffer("default_input_ids", self._default_tokens(), persistent=False)
        self.dropout = nn.Dropout(dropout)
        self.seams = self.adaptation.install(self._sites())
        freeze_base(self)

    def forward(self, image: Tensor, input_ids: Tensor | None = None, attention_mask: Tensor | None = None) -> Tensor:
        """Segment what the prompts name.

        Args:
            image: ``(B, 3, H, W)`` with H = W, normalised with the mean and deviation of ImageNet.
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
        if input_ids.ndim == 2:
            input_ids = input_ids.unsqueeze(1)
        input_ids = input_ids.expand(image.shape[0], -1, -1).flatten(0, 1)
        if attention_mask is not None:
            attention_mask = attention_mask.reshape(-1, attention_mask.shape[-1])
        return self.decode(self.encode_image(image), self.encode_text(input_ids, attention_mask))

    def encode_image(self, image: Tensor) -> list[Tensor]:
        """First stage: activations of the vision encoder that the decoder reads.

        Args:
            image: ``(B, 3, H, W)``.

        Returns:
            One tensor ``(B, N, C)`` for each extracted layer, N = 1 + patches.
        """
        tower: CLIPSegVisionModel = self.base.clip.vision_model
        hidden = tower.pre_layrnorm(tower.embeddings(image, interpolate_pos_encoding=True))
        skips: list[Tensor] = []
        for index, layer in enumerate(tower.encoder.layers[: max(self.config.extract_layers) + 1]):
            hidden = layer(hidden, attention_mask=None)
            if index in self.config.extract_layers:
                skips.append(hidden)
        return self.seams.skips(skips)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Second stage: one embedding for each prompt.

        Padding beyond the longest prompt is cut off before the encoder. The mask is used for nothing else: the encoder
        is causal and reads its result at the end-of-text token, so what follows has no influence.

        Args:
            input_ids: ``(B*K, L)``, each row with an end-of-text token.
            attention_mask: ``(B*K, L)`` or None.

        Returns:
            Embeddings ``(B*K, D)``.
        """
        if attention_mask is not None and not (torch.jit.is_tracing() or torch.compiler.is_compiling()):
            input_ids = input_ids[:, : int(attention_mask.sum(-1).max())]
        tower: CLIPSegTextModel = self.base.clip.text_model
        pooled = tower(input_ids=input_ids).pooler_output
        return self.seams.condition(self.base.clip.text_projection(pooled))

    def decode(self, skips: list[Tensor], conditions: Tensor) -> Tensor:
        """Third stage: logits from activations and embeddings.

        Args:
            skips: what `encode_image` returned for B images.
            conditions: embeddings ``(B*K, D)``, the K prompts of an image one after the other.

        Returns:
            Logits ``(B, K, H, W)``, float32.
        """
        images = skips[0].shape[0]
        prompts = conditions.shape[0] // images
        # in bfloat16 the gradients of the decoder are mostly rounding noise (docs/clipseg_mini.md)
        with torch.autocast(conditions.device.type, enabled=False):
            repeated = tuple(self.dropout(skip.float()).repeat_interleave(prompts, dim=0) for skip in skips)
            logits = self.base.decoder(repeated, conditions.float()).logits
        return logits.view(images, prompts, *logits.shape[-2:])

    def settings(self) -> dict[str, Any]:
        """What an adapter file records about the network that it belongs to, as plain values."""
        return {
            "backbone": self.backbone,
            "adaptation": self.adaptation.settings(),
            "image_size": self.image_size,
            "default_prompt": self.default_prompt,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load all weights, or an adapter file, whose base and adaptation are checked whoever loads it.

        Args:
            state_dict: a state of the whole network, or one that `AdapterState` wrote.
            strict: as in ``torch.nn.Module``; an adapter file must always be complete.
            assign: as in ``torch.nn.Module``.

        Raises:
            AdapterMismatchError: when an adapter file belongs to another network.
        """
        if SETTINGS_KEY in state_dict:
            return AdapterState(self).load_state_dict(state_dict)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def _sites(self) -> Sites:
        vision, text = self.base.clip.vision_model, self.base.clip.text_model
        return Sites(
            vision=_tower(vision.encoder.layers, self.config.vision_config.hidden_size),
            text=_tower(text.encoder.layers, self.config.text_config.hidden_size),
            extract_layers=tuple(self.config.extract_layers),
            condition_width=self.config.projection_dim,
        )

    def _default_tokens(self) -> Tensor:
        text = self.config.text_config
        if self.default_prompt == "" and text.eos_token_id != 2:  # 2: files older than transformers 4.31 hold no ids
            return torch.tensor([[text.bos_token_id, text.eos_token_id]])
        tokenizer = load_tokenizer(self.backbone)
        return torch.tensor([tokenizer(self.default_prompt, truncation=True).input_ids])

    def _check_size(self, size: int) -> None:
        patch = self.config.vision_config.patch_size
        if size < patch or size % patch:
            lower = max(size // patch, 1) * patch
            raise ValueError(
                f"image size must be a multiple of the patch size {patch}, got {size}; "
                f"the nearest are {lower} and {lower + patch}"
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


def _tower(layers: nn.ModuleList, width: int) -> Tower:
    modules: list[Any] = list(layers)
    return Tower(width, [layer.self_attn for layer in modules], [layer.mlp for layer in modules])


def default_image_size(backbone: str | Path) -> int:
    """Side of the square input that a backbone is used with, in pixels.

    The released CLIPSeg has positions for 224 px and runs on 352 px (Lüddecke and Ecker, CVPR 2022); smaller backbones
    run on their own size.
    """
    config: Any = load_config(backbone)
    own: int = config.vision_config.image_size
    return own if own < 224 else 352
