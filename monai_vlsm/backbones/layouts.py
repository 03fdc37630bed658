# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Encoders as others publish them, described as a CLIPSeg: CLIP of Hugging Face, and open_clip with timm and BERT."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import inf, isfinite
from pathlib import Path
from typing import Any

from transformers import CLIPConfig

from monai_vlsm.backbones.faults import BackboneNotFoundError
from monai_vlsm.backbones.weights import WeightsFileError, looks_like, read_weights

__all__ = [
    "OPEN_CLIP_CONFIG",
    "OPEN_CLIP_FILES",
    "clip_values",
    "fault_of",
    "open_clip_file",
    "open_clip_values",
    "vision_values",
]

OPEN_CLIP_CONFIG = "open_clip_config.json"
OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin")
"""Names that open_clip gives to weight files; the first that is there counts."""

_HEAD = 64  # width of an attention head, in every vision transformer of timm and every BERT of these sizes
_POOLER = "cls_last_hidden_state_pooler"
# as CLIP was trained, and after it PubMedCLIP
_CLIP_IMAGES = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
_DECODER = {  # that of CIDAS/clipseg-rd64-refined, which fits an encoder of any patch size
    "model_type": "clipseg",
    "extract_layers": [3, 6, 9],
    "reduce_dim": 64,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 2048,
    "conditional_layer": 0,
    "use_complex_transposed_convolution": True,
    "decoder_patch_size": 16,
}
_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "hidden_act")
_TEXT = (*_SIZES, "vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
_VISION = (*_SIZES, "image_size", "patch_size")


def clip_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """A CLIPSeg around a CLIP.

    Args:
        values: the ``config.json`` of a ``CLIPModel``.

    Returns:
        What a ``config.json`` of this CLIPSeg would hold.
    """
    config: Any = CLIPConfig.from_dict(dict(values))
    text = {name: getattr(config.text_config, name) for name in (*_TEXT, "layer_norm_eps")}
    vision = {name: getattr(config.vision_config, name) for name in (*_VISION, "layer_norm_eps")}
    parts = {"projection_dim": config.projection_dim, "text_config": text, "vision_config": vision}
    return {**_DECODER, **_CLIP_IMAGES, **parts}


def open_clip_file(folder: str | Path) -> Path:
    """The weight file in a folder of open_clip.

    Raises:
        BackboneNotFoundError: when there is none; the error lists the names.
    """
    found = [path for name in OPEN_CLIP_FILES if (path := Path(folder, name)).is_file()]
    if not found:
        raise BackboneNotFoundError(
            f"{folder} has an {OPEN_CLIP_CONFIG} but no weights beside it: expected one of {', '.join(OPEN_CLIP_FILES)}"
            "; copy the whole model"
        )
    return found[0]


def open_clip_values(folder: str | Path) -> dict[str, Any]:
    """A CLIPSeg around the encoders of a folder of open_clip: a ViT of timm and a BERT. Sizes are those of the weights.

    Args:
        folder: with ``open_clip_config.json`` and a weight file.

    Returns:
        What a ``config.json`` of this CLIPSeg would hold.

    Raises:
        BackboneNotFoundError: when there is no weight file.
        WeightsFileError: when file or settings are of another model.
    """
    path = Path(folder, OPEN_CLIP_CONFIG)
    settings = json.loads(path.read_text(encoding="utf-8"))
    text = settings.get("model_cfg", {}).get("text_cfg", {})
    pooler = text.get("hf_pooler_type", text.get("pooler_type"))
    if pooler != _POOLER:
        raise WeightsFileError(
            f"{path}: expected a text encoder of Hugging Face that is read at its first token, hf_pooler_type "
            f"{_POOLER!r} as in BiomedCLIP, got {pooler!r}; give the folder of such a model"
        )
    file = open_clip_file(folder)
    stat = file.stat()
    values = _values_of_weights(str(file), stat.st_mtime_ns, stat.st_size)
    places = values["text_config"]["max_position_embeddings"]
    context = {"context_length": min(int(text.get("context_length") or 77), places)}
    own = _statistics(settings.get("preprocess_cfg") or {}, path)
    return {**values, **own, "text_config": {**values["text_config"], **context}}


def _statistics(images: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Mean and deviation of images; CLIP's where the settings have neither."""
    mean: Any = images.get("mean")
    std: Any = images.get("std")
    if mean is None and std is None:
        return _CLIP_IMAGES
    if len(mean) != 3 or len(std) != 3 or not all(map(isfinite, mean)) or not all(0 < one < inf for one in std):
        raise WeightsFileError(
            f"{path}: mean and std of images must be three numbers each, those of std above 0, got {mean} and {std}"
        )
    return {"image_mean": mean, "image_std": std}


@lru_cache(maxsize=8)
def _values_of_weights(file: str, changed: int, size: int) -> dict[str, Any]:
    """The sizes in a weight file; ``changed`` and ``size`` tell it from another file of this name."""
    shapes = {name: tuple(tensor.shape) for name, tensor in read_weights(file, mapped=True).items()}
    try:
        vision = vision_values(_below("visual.trunk.", shapes))
        text = _text_values(_below("text.transformer.", shapes))
        projection = shapes["text.proj.2.weight"][0]
    except (KeyError, ValueError, IndexError) as error:
        raise WeightsFileError(
            f"{file} looks like {looks_like(shapes)}; expected an open_clip model with a vision transformer of timm, a "
            f"BERT and a projection of two layers, as BiomedCLIP, but {fault_of(error)}"
        ) from error
    return {**_DECODER, "projection_dim": projection, "text_config": text, "vision_config": vision}


def fault_of(error: Exception) -> str:
    """What is wrong with weights, from the error that renaming them or looking at their shapes gave."""
    return f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else f"a weight has another shape: {error}"


def vision_values(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """The ``vision_config`` of a CLIPSeg whose vision encoder is one of timm or DINOv2.

    Args:
        shapes: of its weights, by the names of timm (``blocks.0.attn.qkv.weight``).

    Raises:
        KeyError: when a weight that tells a size is missing.
    """
    width, _, _, patch = shapes["patch_embed.proj.weight"]
    return {
        "hidden_size": width,
        "intermediate_size": shapes["blocks.0.mlp.fc1.weight"][0],
        "num_hidden_layers": _count(r"blocks\.(\d+)\.", shapes),
        "num_attention_heads": max(width // _HEAD, 1),
        "image_size": round((shapes["pos_embed"][1] - 1) ** 0.5) * patch,
        "patch_size": patch,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "pre_norm": False,
    }


def _text_values(shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    words, width = shapes["embeddings.word_embeddings.weight"]
    return {
        "encoder": "bert",
        "vocab_size": words,
        "hidden_size": width,
        "intermediate_size": shapes["encoder.layer.0.intermediate.dense.weight"][0],
        "num_hidden_layers": _count(r"encoder\.layer\.(\d+)\.", shapes),
        "num_attention_heads": max(width // _HEAD, 1),
        "max_position_embeddings": shapes["embeddings.position_embeddings.weight"][0],
        "type_vocab_size": shapes["embeddings.token_type_embeddings.weight"][0],
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "bos_token_id": None,  # the tokenizer knows
        "eos_token_id": None,
    }


def _count(pattern: str, names: Mapping[str, Any]) -> int:
    return len({match[1] for name in names if (match := re.match(pattern, name))})


def _below(start: str, shapes: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    return {name.removeprefix(start): shape for name, shape in shapes.items() if name.startswith(start)}
