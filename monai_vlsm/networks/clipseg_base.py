# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""transformers' CLIPSeg around encoders that are not CLIP's."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation
from transformers.models.clipseg.modeling_clipseg import CLIPSegDecoder

from monai_vlsm.networks.bert_text import BertTextEncoder, text_projection

__all__ = ["CLIPSegBase", "reset_decoder"]


class CLIPSegBase(CLIPSegForImageSegmentation):
    """CLIPSeg that can stand on other encoders, with three settings more than transformers knows.

    ``"pre_norm": false`` in ``vision_config``: CLIP normalises the embedded patches before the first layer; the ViT of
    timm and DINOv2 do not, and their files have no weights for it.

    ``"encoder": "bert"`` in ``text_config``: a `BertTextEncoder` and a projection of two layers, as in BiomedCLIP.

    ``"decoder_patch_size": 16``: the released decoder makes 16 logits a side of each patch, whatever a patch is in
    pixels; `at_image_size` brings them to the size of the image.

    Args:
        config: the architecture.
    """

    def __init__(self, config: CLIPSegConfig) -> None:
        super().__init__(config)
        vision: Any = config.vision_config
        text: Any = config.text_config
        if getattr(text, "encoder", "clip") == "bert":
            clip: Any = self.clip
            clip.text_model, clip.text_projection = BertTextEncoder(text), text_projection(config)
        if not getattr(vision, "pre_norm", True):
            self.clip.vision_model.pre_layrnorm = nn.Identity()
        patch = getattr(config, "decoder_patch_size", vision.patch_size)
        if patch != vision.patch_size:
            other: Any = copy.deepcopy(config)
            other.vision_config.patch_size = patch
            self.decoder = CLIPSegDecoder(other)
        self.decoder.transposed_convolution.register_forward_pre_hook(_contiguous_when_compiled)
        self._grain = (patch // 4) ** 2 if config.use_complex_transposed_convolution else patch
        self._patch = vision.patch_size

    @property
    def is_plain(self) -> bool:
        """Whether transformers' own class computes the same from the same files."""
        vision: Any = self.clip.vision_model
        bert = isinstance(self.clip.text_model, BertTextEncoder)
        return not bert and not isinstance(vision.pre_layrnorm, nn.Identity) and self._grain == self._patch

    def at_image_size(self, logits: Tensor) -> Tensor:
        """Logits of the decoder ``(N, h, w)`` at the size of the image, for patches of which it makes more or less."""
        if self._grain == self._patch:
            return logits
        size = [side // self._grain * self._patch for side in logits.shape[-2:]]
        return interpolate(logits[:, None], size, mode="bilinear")[:, 0]


def _contiguous_when_compiled(_: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """The decoder hands over a transposed view; Inductor expects its gradient with channels last on a GPU, cuDNN
    gives it with channels first."""
    (feature_map,) = inputs
    return (feature_map.contiguous() if torch.compiler.is_compiling() else feature_map,)


def reset_decoder(base: CLIPSegForImageSegmentation) -> None:
    """Give the decoder weights from which it learns.

    transformers starts it with logits that deviate by about 400, from which no training recovers.
    """
    for module in base.decoder.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm | nn.Conv2d | nn.ConvTranspose2d):
            module.reset_parameters()
    # the text begins as a small change of a feature map that passes through
    nn.init.ones_(base.decoder.film_mul.bias)
    nn.init.zeros_(base.decoder.film_add.bias)
