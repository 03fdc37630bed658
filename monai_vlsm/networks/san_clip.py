# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The CLIP inside SAN: its numbers, its weights, and its activations layer by layer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

from monai_vlsm.backbones import MINI, load_architecture
from monai_vlsm.networks.bases import load_base
from monai_vlsm.networks.pretrained import BackboneWeightsError, load_pretrained

__all__ = ["clip_states", "load_clip", "load_san_architecture"]

_PAPER = "san-vit-b16"


def load_san_architecture(backbone: str | Path) -> dict[str, Any]:
    """Read the numbers of a SAN; no network access.

    Args:
        backbone: a name from ``known_backbones("san")``, or a local folder with a CLIP or CLIPSeg in Hugging Face
            layout, which gets the side network of ``san-vit-b16``.

    Returns:
        ``image_size``, ``clip`` (where CLIP's weights come from), ``clip_config`` (its numbers, or None for those of a
        local source), ``clip_trains`` (parts of CLIP that train), ``logit_scale`` (in place of CLIP's own, or None),
        ``fused_layers`` (CLIP's tokens after so many layers enter the first blocks of the side network; the layers
        behind the last recognise), ``side`` (numbers of the side network) and ``mask_width``.

    Raises:
        BackboneNotFoundError: when it is neither; the error lists the known names.
        BackboneWeightsError: when the folder holds another kind of model.
    """
    path = Path(backbone, "config.json")
    if not path.is_file():
        return load_architecture(backbone, "san")
    kind = json.loads(path.read_text(encoding="utf-8")).get("model_type")
    if kind not in ("clip", "clipseg"):
        raise BackboneWeightsError(
            f"{path}: this looks like a model of type {kind!r}. SANNet needs a whole CLIP ('clip') or CLIPSeg "
            "('clipseg') with vision transformer and text encoder; give the folder of one, or a name: "
            f"{_PAPER}, san-mini"
        )
    return {**load_architecture(_PAPER), "clip": str(backbone), "clip_config": None}


def load_clip(architecture: Mapping[str, Any], load_weights: bool) -> Any:
    """Build the CLIP of a SAN in float32, frozen, in evaluation mode.

    Args:
        architecture: what `load_san_architecture` returned.
        load_weights: False builds it with random weights, without reading any weight file.

    Returns:
        A ``CLIPModel``, or the ``CLIPSegModel`` of a CLIPSeg, whose parts have the same names.

    Raises:
        BackboneNotFoundError: when the weights cannot be had. Other weights are never taken in their place.
        BackboneWeightsError: when a file is damaged, or a weight is missing, has another name or another shape.
    """
    source = architecture["clip"]
    config = architecture["clip_config"] or _local_config(source)
    if config["model_type"] == "clipseg":
        clip: Any = load_base(source, load_weights).clip
    elif load_weights:
        clip = load_pretrained(CLIPModel, CLIPConfig.from_dict(config), source, mini="san-mini")
    else:
        clip = CLIPModel(CLIPConfig.from_dict(config)).eval()
    if architecture["logit_scale"] is not None:
        nn.init.constant_(clip.logit_scale, math.log(architecture["logit_scale"]))
    return clip.requires_grad_(False)


def clip_states(clip: Any, image: Tensor, layers: int) -> list[Tensor]:
    """Tokens of CLIP's vision encoder after 0, 1, ... ``layers`` layers.

    Args:
        clip: what `load_clip` returned.
        image: ``(B, 3, H, W)`` of any multiple of CLIP's patch size; its positions are interpolated (bicubic).
        layers: how many layers to run.

    Returns:
        ``layers + 1`` tensors ``(B, 1 + N, C)``, the class token first.
    """
    encoder = clip.vision_model
    states = [encoder.pre_layrnorm(encoder.embeddings(image, interpolate_pos_encoding=True))]
    for layer in encoder.encoder.layers[:layers]:
        states.append(layer(states[-1], attention_mask=None))
    return states


def _local_config(source: str) -> dict[str, Any]:
    if source == MINI:
        return {"model_type": "clipseg"}
    values: dict[str, Any] = json.loads(Path(source, "config.json").read_text(encoding="utf-8"))
    return values
