# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights of an open_clip model with timm's vision transformer and BERT, for a CLIPSeg around both."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from monai_vlsm.networks.bert_text import bert_weights
from monai_vlsm.networks.timm_vit import timm_vision_weights

__all__ = ["open_clip_weights"]

_VISION, _TEXT, _PROJECTION = "visual.trunk.", "text.transformer.", "text.proj."
_REST = {"visual.head.proj.weight": "clip.visual_projection.weight", "logit_scale": "clip.logit_scale"}


def open_clip_weights(given: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Rename the weights of an open_clip model for `CLIPSegBase`.

    Args:
        given: weights with the names of open_clip (``visual.trunk.blocks.0.norm1.weight``).
        layers: how many layers its vision encoder has.

    Returns:
        Weights of the encoders, ``clip.vision_model...`` and ``clip.text_model...``; unknown names stay as they are.

    Raises:
        KeyError: when a weight of the vision encoder is missing.
    """
    renamed = {
        f"clip.vision_model.{name}": value
        for name, value in timm_vision_weights(_below(_VISION, given), layers).items()
    }
    renamed |= {f"clip.text_model.{name}": value for name, value in bert_weights(_below(_TEXT, given)).items()}
    renamed |= {f"clip.text_projection.{name}": value for name, value in _below(_PROJECTION, given).items()}
    others = {name: value for name, value in given.items() if not name.startswith((_VISION, _TEXT, _PROJECTION))}
    renamed |= {_REST.get(name, name): value for name, value in others.items()}
    return renamed


def _below(start: str, given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(start): value for name, value in given.items() if name.startswith(start)}
