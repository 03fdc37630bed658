# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Architecture of clipseg-mini, an initialisation from which it learns, and a forward that trains every part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPSegConfig, CLIPTokenizer

from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.networks.clipseg_base import CLIPSegBase, reset_decoder

__all__ = ["EXTRACT", "SIZE", "build_config", "build_model", "logits_of", "skips_of", "to_pixels"]

SIZE = 160
"""Edge of the images in pixels."""

EXTRACT = (3, 6, 9)
"""Zero-based layers of the image encoder that the decoder reads."""


def build_config(tokenizer: CLIPTokenizer) -> CLIPSegConfig:
    """Configuration of clipseg-mini.

    Args:
        tokenizer: gives the vocabulary size and the special ids.
    """
    text = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_hidden_layers": 10}
    text |= {"vocab_size": len(tokenizer), "max_position_embeddings": 77, "pad_token_id": tokenizer.pad_token_id}
    text |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    vision = {"hidden_size": 192, "intermediate_size": 576, "num_attention_heads": 3, "num_hidden_layers": 10}
    # ReLU trains a quarter faster on a CPU than CLIP's quick_gelu.
    return CLIPSegConfig(
        text_config={**text, "hidden_act": "relu"},
        vision_config={**vision, "image_size": SIZE, "patch_size": 16, "hidden_act": "relu"},
        projection_dim=128,
        extract_layers=list(EXTRACT),
        reduce_dim=64,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=256,
        decoder_hidden_act="relu",
        use_complex_transposed_convolution=True,
    )


def _start_encoder(encoder: nn.Module, layers: Iterable[nn.Module]) -> None:
    for module in encoder.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5 * 0.6)
            nn.init.zeros_(module.bias)
    # Nearly closed branches: words and patches reach the decoder unmixed at first.
    for layer in layers:
        for name in ("self_attn.out_proj", "mlp.fc2"):
            nn.init.normal_(layer.get_parameter(f"{name}.weight"), std=0.02)


def build_model(tokenizer: CLIPTokenizer, seed: int = 0) -> CLIPSegBase:
    """The untrained clipseg-mini (5.7 M parameters) with an initialisation from which training starts.

    Args:
        tokenizer: gives the vocabulary size and the special ids.
        seed: seed of the weights.
    """
    torch.manual_seed(seed)
    model = CLIPSegBase(build_config(tokenizer))
    # The fused attention's backward in bfloat16 takes half of the time on a CPU.
    model.set_attn_implementation("eager")
    reset_decoder(model)
    vision, text = model.clip.vision_model, model.clip.text_model
    _start_encoder(vision, vision.encoder.layers)
    _start_encoder(text, text.encoder.layers)
    nn.init.kaiming_normal_(vision.embeddings.patch_embedding.weight, nonlinearity="linear")
    nn.init.normal_(text.embeddings.token_embedding.weight, std=0.3)
    for embeddings in (vision.embeddings, text.embeddings):
        nn.init.normal_(embeddings.position_embedding.weight, std=0.1)
    nn.init.normal_(model.clip.text_projection.weight, std=128**-0.5)
    return model


def to_pixels(images: Tensor, size: int = SIZE) -> Tensor:
    """Turn uint8 images (B, S, S, 3) into ImageNet-normalised float32 (B, 3, size, size)."""
    pixels = images.permute(0, 3, 1, 2).float() / 255
    if pixels.shape[-1] != size:
        pixels = functional.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIPSegNet.image_mean, CLIPSegNet.image_std))
    return (pixels - mean) / std


def skips_of(model: CLIPSegBase, pixels: Tensor) -> list[Tensor]:
    """What the decoder reads of images: one (B, N, C) for each layer of ``EXTRACT``, with gradients.

    Args:
        model: the network.
        pixels: normalised images (B, 3, S, S).
    """
    states = model.clip.vision_model(pixels, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states
    return [states[layer + 1] for layer in EXTRACT]


def logits_of(model: CLIPSegBase, skips: Sequence[Tensor], ids: Tensor, mask: Tensor) -> Tensor:
    """Logits (B, K, S, S) of K prompts for each of B images, with gradients into every part.

    ``CLIPSegForImageSegmentation.forward`` runs both encoders without gradients, so it cannot train them.

    Args:
        model: the network.
        skips: what ``skips_of`` returned.
        ids: token ids (B * K, L).
        mask: attention mask (B * K, L).
    """
    images = skips[0].shape[0]
    text = model.clip.text_projection(model.clip.text_model(ids, mask).pooler_output)
    hidden = [states.repeat_interleave(len(ids) // images, 0) for states in skips]
    # The decoder stays in float32 under autocast: its first attention works on features without a norm before them,
    # and bfloat16 there makes gradients that are noise (norm 35 instead of 2 in the middle of a training).
    with torch.autocast(text.device.type, enabled=False):
        logits = model.at_image_size(model.decoder([states.float() for states in hidden], text.float()).logits)
    return logits.unflatten(0, (images, -1))
