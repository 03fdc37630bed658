# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The frozen network that adapters are put on: a CLIPSeg, or its decoder on the encoders of another model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from torch import Tensor
from transformers import CLIPConfig, CLIPModel

from monai_vlsm.backbones.catalogue import backbone_source, load_config, not_available, weights_layout
from monai_vlsm.backbones.layouts import OPEN_CLIP_FILES, fault_of, open_clip_file
from monai_vlsm.backbones.waiting import bound_waiting
from monai_vlsm.backbones.weights import WeightsFileError, check_weights, looks_like, read_weights
from monai_vlsm.networks.clipseg_base import CLIPSegBase, reset_decoder
from monai_vlsm.networks.open_clip_weights import open_clip_weights
from monai_vlsm.networks.pretrained import BackboneWeightsError, load_pretrained

__all__ = ["load_base", "own_statistics"]


def load_base(backbone: str | Path, load_weights: bool = True, decoder: str | Path | None = None) -> CLIPSegBase:
    """Build CLIPSeg in float32, in evaluation mode.

    Args:
        backbone: a known name, or a local folder: a CLIPSeg or a CLIP in Hugging Face layout (one file or sharded), or
            a model of open_clip with a vision transformer of timm and a BERT.
        load_weights: False builds the architecture with random weights, without reading any weight file.
        decoder: the CLIPSeg whose decoder goes on a backbone that has none. None begins such a decoder at random.

    Raises:
        BackboneNotFoundError: when the backbone is unknown or its weights cannot be had. Other weights are never
            taken in their place.
        BackboneWeightsError: when a file is damaged, a weight is missing, has another name or another shape, or a
            decoder is given for a backbone that has one.
        WeightsFileError: likewise, of a file of open_clip, or of a decoder that does not fit.
    """
    config, layout = load_config(backbone), weights_layout(backbone)
    if layout == "clipseg":
        if decoder is not None:
            raise BackboneWeightsError(f"{backbone} has a decoder of its own, got decoder {decoder}; leave that out")
        if not load_weights:
            return CLIPSegBase(config).eval()
        loaded: CLIPSegBase = load_pretrained(CLIPSegBase, config, backbone_source(backbone))
        return loaded
    base = CLIPSegBase(config)
    reset_decoder(base)
    if load_weights:
        _fill(
            base, {"clip": _clip_weights, "open_clip": _open_clip_weights}[layout](backbone, config), backbone, decoder
        )
    return base.eval()


def _fill(base: CLIPSegBase, weights: dict[str, Tensor], backbone: str | Path, decoder: str | Path | None) -> None:
    own, source = base.state_dict(), str(backbone)
    if decoder is None:
        own = {name: value for name, value in own.items() if not name.startswith("decoder.")}
    else:
        weights |= {f"decoder.{name}": value for name, value in _decoder_of(decoder).items()}
        source += f" with the decoder of {decoder}"
    check_weights(own, weights, source)
    base.load_state_dict(weights, strict=False)


def _decoder_of(backbone: str | Path) -> dict[str, Tensor]:
    if weights_layout(backbone) != "clipseg":
        raise BackboneWeightsError(f"decoder must be a CLIPSeg, whose decoder is taken; {backbone} has none")
    state: dict[str, Tensor] = load_base(backbone).decoder.state_dict()
    return state


def _clip_weights(backbone: str | Path, config: Any) -> dict[str, Tensor]:
    parts = {name: getattr(config, name).to_dict() for name in ("text_config", "vision_config")}
    sizes = {name: {key: value for key, value in part.items() if key != "model_type"} for name, part in parts.items()}
    clip_config = CLIPConfig.from_dict({**sizes, "projection_dim": config.projection_dim})
    clip = load_pretrained(CLIPModel, clip_config, backbone_source(backbone))
    return {f"clip.{name}": value for name, value in clip.state_dict().items()}


def _open_clip_weights(backbone: str | Path, config: Any) -> dict[str, Tensor]:
    source = backbone_source(backbone)
    path = open_clip_file(source) if Path(source).is_dir() else _fetched(source)
    given = read_weights(path)
    try:
        return open_clip_weights(given, config.vision_config.num_hidden_layers)
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise WeightsFileError(
            f"{path} looks like {looks_like(given)}, but {fault_of(error)}; get the file again"
        ) from error


def _fetched(source: str) -> Path:
    """The weight file of a model of open_clip on the Hub, or in the cache."""
    bound_waiting()
    try:
        return Path(hf_hub_download(source, OPEN_CLIP_FILES[-1]))
    except OSError as error:
        raise not_available("weights", source) from error


def own_statistics(config: Any) -> tuple[tuple[float, float, float], tuple[float, float, float]] | None:
    """Mean and deviation of the images that encoders were trained on; None for those that CLIPSeg takes."""
    mean, deviation = (getattr(config, name, None) for name in ("image_mean", "image_std"))
    return None if mean is None or deviation is None else (tuple(mean), tuple(deviation))
