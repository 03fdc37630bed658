# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The places of transformers' CLIPSeg where adapters can sit."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import CLIPSegForImageSegmentation

from monai_vlsm.adapters import AdapterTargets
from monai_vlsm.networks.layer_targets import clip_encoder

__all__ = ["clipseg_targets"]


def clipseg_targets(base: CLIPSegForImageSegmentation) -> AdapterTargets:
    """What adaptations see of CLIPSeg."""
    config: Any = base.config
    vision, text = base.clip.vision_model, base.clip.text_model
    return AdapterTargets(
        vision=clip_encoder(vision.encoder.layers, config.vision_config.hidden_size),
        text=clip_encoder(text.encoder.layers, config.text_config.hidden_size),
        extract_layers=tuple(config.extract_layers),
        condition_width=config.projection_dim,
        decoder=base.decoder,
        used=_used_modules(base),
        entrance=vision.pre_layrnorm,
    )


def _used_modules(base: CLIPSegForImageSegmentation) -> list[nn.Module]:
    """What the forward pass runs: neither the vision layers behind the last skip nor CLIP's own image embedding."""
    clip = base.clip
    vision = clip.vision_model
    layers = vision.encoder.layers[: max(base.config.extract_layers) + 1]
    return [vision.embeddings, vision.pre_layrnorm, *layers, clip.text_model, clip.text_projection, base.decoder]
