# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Weights for CRIS: CLIP's RN50, or a CRIS that somebody trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from monai_vlsm.backbones import BackboneNotFoundError
from monai_vlsm.backbones.weights import WeightsFileError, check_weights, looks_like, read_weights
from monai_vlsm.networks.clip_text import openai_text_weights

__all__ = ["load_cris_weights", "missing_cris_weights", "our_weights"]

_CLIP = "a CLIP ResNet in the layout of OpenAI and open_clip"
_CRIS = "CRIS"
_ADDED = ("neck.", "decoder.", "proj.", "visual.attnpool.connect.")  # what CRIS adds to CLIP


def load_cris_weights(network: nn.Module, path: str | Path) -> None:
    """Copy the weights of a file into a CRIS.

    Args:
        network: a `CRISNet`.
        path: a file that `monai_vlsm.backbones.read_weights` reads. A file with CLIP alone leaves what CRIS adds to it
            as it is.

    Raises:
        BackboneNotFoundError: when there is no such file.
        WeightsFileError: when it holds another model, or one of another size.
    """
    given = read_weights(path)
    kind = looks_like(given)
    if kind not in (_CLIP, _CRIS):
        raise WeightsFileError(
            f"{path} looks like {kind}; expected CLIP's RN50 (OpenAI's RN50.pt or safetensors of open_clip) or CRIS"
        )
    state = our_weights(given)
    own = nn.Module.state_dict(network)
    if kind == _CLIP:
        own = {name: value for name, value in own.items() if not name.startswith(_ADDED)}
    check_weights(own, state, f"{path} ({kind})")
    nn.Module.load_state_dict(network, state, strict=False)


def our_weights(given: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename weights of CLIP or CRIS to the names of `CRISNet`; unknown names stay as they are."""
    state = {name.removeprefix("backbone."): value for name, value in given.items()}
    text = {f"text.{name}": value for name, value in openai_text_weights(state).items()}
    others = {name: value for name, value in state.items() if not openai_text_weights({name: value})}
    return {**others, **text}


def missing_cris_weights(backbone: str) -> BackboneNotFoundError:
    """The error for a backbone whose weights were not given, with the ways to get them."""
    return BackboneNotFoundError(
        f"{backbone} needs CLIP's weights and none were given. Get one of these files and add  --weights PATH\n"
        "  1. RN50.pt of https://github.com/openai/CLIP (its address is in clip/clip.py)\n"
        "  2. RN50 of open_clip:  hf download timm/resnet50_clip.openai open_clip_model.safetensors\n"
        "  3. a checkpoint of CRIS (.pth), with its neck and decoder trained on other images\n"
        "To try things out without it: --backbone cris-mini"
    )
