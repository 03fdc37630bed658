# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CRIS, as a network that MONAI can train, trace and save."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from monai_vlsm.adapters import Adaptation
from monai_vlsm.backbones import load_architecture
from monai_vlsm.networks.clip_resnet import CLIPResNet
from monai_vlsm.networks.cris_decoder import CRISDecoder, CRISProjector
from monai_vlsm.networks.cris_neck import CRISNeck
from monai_vlsm.networks.cris_weights import load_cris_weights, missing_cris_weights
from monai_vlsm.networks.faults import NoAdaptersError
from monai_vlsm.networks.prompt_rows import check_length
from monai_vlsm.networks.prompted import CLIP_MEAN, CLIP_STD, PromptedNet

__all__ = ["CRISNet", "CRISText"]

_STRIDE = 32


class CRISText(NamedTuple):
    """What CRIS reads from B*K prompts.

    Attributes:
        words: one vector for each token, ``(B*K, L, C)``.
        sentence: one embedding for each prompt, ``(B*K, D)``.
        padding: ``(B*K, L)``, True where a token is padding; None hides nothing.
    """

    words: Tensor
    sentence: Tensor
    padding: Tensor | None


class CRISNet(PromptedNet):
    """CLIP-driven referring image segmentation (Wang et al., CVPR 2022), trained from end to end.

    CLIP's ResNet and text encoder, a neck that fuses the sentence into the image, a decoder in which pixels look at
    words, and a projector that turns the sentence into a kernel. The logits have a quarter of the side of the image
    and are enlarged (bicubic).

    Args:
        backbone: ``"cris-rn50"`` or ``"cris-mini"``.
        adaptation: must be None. CRIS has no places for adapters; the argument is there for its error.
        weights: a file with CLIP's RN50 (OpenAI's ``RN50.pt``, or safetensors of open_clip), or with a whole CRIS.
            With CLIP alone the other parts begin at random. Not needed for ``"cris-mini"``, which has none.
        image_size: side of the square input in pixels, a multiple of 32. None takes that of the backbone.
        default_prompt: the text used when ``forward`` gets no tokens.
        dropout: probability of dropping an activation of the decoder, in training mode.
        mask_padding: True hides the padding of a text from the decoder. False lets it look at all columns of
            ``input_ids``, as the authors of VLSM-Adapter trained CRIS; texts must then be padded to one length.
        load_weights: False builds the network with random weights, whatever ``weights`` says.

    Raises:
        BackboneNotFoundError: when the backbone is unknown, or its weights or tokenizer cannot be had.
        NoAdaptersError: when an adaptation is given.
        ValueError: when ``image_size`` is not a multiple of 32.
        WeightsFileError: when the file is of another model.
    """

    image_mean = CLIP_MEAN
    image_std = CLIP_STD

    def __init__(
        self,
        backbone: str = "cris-rn50",
        adaptation: Adaptation | None = None,
        weights: str | Path | None = None,
        image_size: int | None = None,
        default_prompt: str = "",
        dropout: float = 0.2,
        mask_padding: bool = True,
        load_weights: bool = True,
    ) -> None:
        if adaptation is not None:
            raise NoAdaptersError(
                f"CRIS trains from end to end and has no places for adapters, got {adaptation}; leave adaptation out, "
                "or take CLIPSegNet, which has them"
            )
        architecture = load_architecture(backbone, "cris")
        if load_weights and weights is None and architecture["pretrained"]:
            raise missing_cris_weights(backbone)
        super().__init__(backbone, image_size, default_prompt, stride=_STRIDE)
        self.mask_padding = self.cuts_padding = mask_padding
        self._build(architecture, dropout)
        if load_weights and weights is not None:
            load_cris_weights(self, weights)
        self.remember_trained(whole=True)

    def encode_image(self, image: Tensor) -> list[Tensor]:
        """First stage: images of CLIP's ResNet.

        Args:
            image: ``(B, 3, H, W)``, normalised with the mean and deviation of CLIP.

        Returns:
            ``(B, C, H, W)`` at 1/8, 1/16 and 1/32 of the image.
        """
        images: list[Tensor] = self.visual(image)
        return images

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> CRISText:
        """Second stage: words and sentence.

        Args:
            input_ids: ``(B*K, L)``, each row with an end-of-text token.
            attention_mask: ``(B*K, L)``, 0 for padding. None takes what follows the first end-of-text token.

        Raises:
            ValueError: when L exceeds the positions of the text encoder.
        """
        positions: Any = self.text.config.max_position_embeddings
        check_length(input_ids, positions)
        padding = None
        if self.mask_padding:
            padding = self._after_end(input_ids) if attention_mask is None else attention_mask == 0
        output = self.text(input_ids=input_ids)
        return CRISText(output.last_hidden_state, output.text_embeds, padding)

    def decode(self, image_features: list[Tensor], text_features: CRISText) -> Tensor:
        """Third stage: neck, decoder and projector, once for each prompt.

        Args:
            image_features: what `encode_image` returned for B images.
            text_features: what `encode_text` returned, the K prompts of an image one after the other.

        Returns:
            Logits ``(B, K, H, W)``, float32.
        """
        words, sentence, padding = text_features
        image = self.neck(image_features, sentence)
        logits = self.proj(self.decoder(image, words, padding), sentence)
        size = [side * _STRIDE for side in image_features[-1].shape[-2:]]
        images = image_features[0].shape[0]
        return interpolate(logits, size, mode="bicubic", align_corners=True).view(images, -1, *size)

    def settings(self) -> dict[str, Any]:
        """What ``model.pt`` records about the network that it belongs to, as plain values."""
        return {**super().settings(), "mask_padding": self.mask_padding}

    def _build(self, architecture: dict[str, Any], dropout: float) -> None:
        vision, text, width = architecture["vision"], architecture["text"], architecture["vision"]["width"]
        sentence, neck_widths = architecture["projection_dim"], architecture["neck_widths"]
        self.visual = CLIPResNet(output_dim=sentence, **vision)
        self.text = CLIPTextModelWithProjection(CLIPTextConfig(projection_dim=sentence, **text))
        # belongs to CLIP's files; no part of CRIS reads it, and DistributedDataParallel would wait for its gradient
        self.logit_scale = nn.Parameter(torch.full((), math.log(1 / 0.07)), requires_grad=False)
        self.neck = CRISNeck((width * 8, width * 16, sentence), neck_widths, sentence)
        self.decoder = CRISDecoder(width=neck_widths[1], dropout=dropout, **architecture["decoder"])
        self.proj = CRISProjector(sentence, neck_widths[1])

    def _after_end(self, input_ids: Tensor) -> Tensor:
        """True behind the first end-of-text token."""
        end: Any = self.text.config.eos_token_id
        ends = input_ids.eq(end).int()
        return ends.cumsum(-1) - ends > 0
