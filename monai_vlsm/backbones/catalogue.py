# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Backbones by name: architecture, tokenizer, and where their weights are."""

from __future__ import annotations

import copy
import json
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub.constants import HF_HUB_CACHE
from transformers import CLIPSegConfig

from monai_vlsm.backbones.faults import BackboneConfigError, BackboneNotFoundError, describing
from monai_vlsm.backbones.layouts import OPEN_CLIP_CONFIG, clip_values, open_clip_values
from monai_vlsm.backbones.weights import looks_like, read_weights

__all__ = [
    "BIOMEDCLIP",
    "MINI",
    "PUBMEDCLIP",
    "backbone_source",
    "backbone_type",
    "default_image_size",
    "known_backbones",
    "load_architecture",
    "load_config",
    "not_available",
    "own_architectures",
    "raw_config",
    "weights_layout",
]

MINI = "clipseg-mini"
"""The backbone that ships with the package, see docs/clipseg_mini.md."""

_FOLDER = Path(str(files("monai_vlsm.backbones")))
BIOMEDCLIP, PUBMEDCLIP = (
    "microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
    "flaviagiammarino/pubmed-clip-vit-base-patch32",
)
_ARCHITECTURES = {
    "CIDAS/clipseg-rd64-refined": _FOLDER / "clipseg-rd64-refined.json",
    BIOMEDCLIP: _FOLDER / "biomedclip.json",
    PUBMEDCLIP: _FOLDER / "pubmedclip.json",
}


def known_backbones(model_type: str = "clipseg") -> list[str]:
    """Names that can be given as a backbone, besides the path of a local folder where a network takes one.

    Args:
        model_type: ``"clipseg"``, ``"cris"``, ``"san"`` or ``"unet"``.
    """
    if model_type == "clipseg":
        return [MINI, *_ARCHITECTURES]
    return [name for name in own_architectures() if load_architecture(name)["model_type"] == model_type]


def load_architecture(backbone: str | Path, model_type: str | None = None) -> dict[str, Any]:
    """Read the architecture of a network other than CLIPSeg: a JSON file beside this module.

    Args:
        backbone: a name from ``known_backbones(model_type)``.
        model_type: the type that it must be of, or None for any.

    Returns:
        The file: ``model_type``, ``image_size``, ``tokenizer`` (the backbone whose tokenizer it uses), and its sizes.

    Raises:
        BackboneNotFoundError: when there is none of this name and type; the error lists the known names.
    """
    if str(backbone) in own_architectures():
        values: dict[str, Any] = json.loads((_FOLDER / f"{backbone}.json").read_text(encoding="utf-8"))
        if model_type in (None, values["model_type"]):
            return values
    known = known_backbones(model_type) if model_type else list(own_architectures())
    raise BackboneNotFoundError(
        f"unknown backbone {str(backbone)!r} for a network of type {model_type!r}; give one of {', '.join(known)}"
    )


def own_architectures() -> tuple[str, ...]:
    """Names of the networks other than CLIPSeg whose architectures are files beside this module."""
    published = {path.stem for path in _ARCHITECTURES.values()}
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json") if path.stem not in published))


def default_image_size(backbone: str | Path, network: str = "clipseg") -> int:
    """Side of the square input that a backbone is used with, in pixels.

    The released CLIPSeg has positions for 224 px and runs on 352 px (Lüddecke and Ecker, CVPR 2022); smaller ones run
    on their own size; either is cut to whole patches.

    Args:
        backbone: a name or a folder.
        network: ``"san"`` for a folder with a plain CLIP that runs in SAN, at the size of ``san-vit-b16``.
    """
    if str(backbone) in own_architectures():
        return int(load_architecture(backbone)["image_size"])
    if network == "san" and backbone_type(backbone) == "clip":
        return int(load_architecture("san-vit-b16")["image_size"])
    config: Any = load_config(backbone)
    own: int = config.vision_config.image_size
    patch: int = config.vision_config.patch_size
    return (own if own < 224 else 352) // patch * patch


def backbone_type(backbone: str | Path) -> str:
    """What a backbone is of: ``"clipseg"``, ``"clip"``, ``"cris"``, ``"san"`` or ``"unet"``; no network access.

    Args:
        backbone: a name from `known_backbones` of any type, or a local folder in Hugging Face layout.

    Raises:
        BackboneNotFoundError: when it is neither; the error lists the known names.
    """
    if str(backbone) in own_architectures():
        return str(load_architecture(backbone)["model_type"])
    return str(raw_config(backbone).get("model_type"))


def backbone_source(backbone: str | Path) -> str:
    """Resolve a backbone to what ``from_pretrained`` takes: the path of a folder, or the id of a known model.

    Args:
        backbone: a name from `known_backbones`, or a local folder in Hugging Face layout.

    Raises:
        BackboneNotFoundError: when it is neither; the error lists the known names.
    """
    if backbone == MINI:
        return str(_FOLDER / "clipseg_mini")
    if str(backbone) in _ARCHITECTURES:
        return str(backbone)
    if any(Path(backbone, name).is_file() for name in ("config.json", OPEN_CLIP_CONFIG)):
        return str(backbone)
    raise BackboneNotFoundError(
        f"unknown backbone {str(backbone)!r} ({_state_of(Path(backbone))}); "
        f"give one of {', '.join(known_backbones())}, or a local folder in Hugging Face layout"
    )


def _state_of(path: Path) -> str:
    """What is wrong with a path that is no backbone."""
    if path.is_file():
        return f"a file that looks like {looks_like(read_weights(path, mapped=True))}, not a folder"
    return "a folder without config.json" if path.is_dir() else "no such folder"


def load_config(backbone: str | Path) -> CLIPSegConfig:
    """Read the architecture of a backbone as a CLIPSeg; no network access.

    A CLIP, and an open_clip model with a BERT, get the decoder of the released CLIPSeg.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
        BackboneConfigError: when its files describe another kind of model, or none that can be built.
    """
    values = raw_config(backbone)
    with describing(backbone):
        if values.get("model_type") == "clip":
            values = clip_values(values)
        if values.get("model_type") != "clipseg":
            raise BackboneConfigError(
                f"{backbone}: model_type must be 'clipseg', got {values.get('model_type')!r}; give a CLIPSeg model"
            )
        config = copy.deepcopy(_config(json.dumps(values)))
        _require_layers(config, backbone)
    return config


def _require_layers(config: Any, backbone: str | Path) -> None:
    vision, deepest = config.vision_config, max(config.extract_layers)
    if vision.num_hidden_layers <= deepest or vision.patch_size < 1:
        raise BackboneConfigError(
            f"{backbone}: the decoder reads the vision encoder up to its layer {deepest} (from 0) and needs patches of "
            f"a pixel or more, got {vision.num_hidden_layers} layers and patches of {vision.patch_size}"
        )


@cache
def _config(values: str) -> CLIPSegConfig:
    """Kept: transformers looks at each value of a config, which takes longer than to build a small network."""
    return CLIPSegConfig.from_dict(json.loads(values))


def weights_layout(backbone: str | Path) -> str:
    """How the files of a backbone are laid out: ``"clipseg"``, ``"clip"``, both of Hugging Face, or ``"open_clip"``.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
    """
    source = backbone_source(backbone)
    if source in _ARCHITECTURES:
        return {BIOMEDCLIP: "open_clip", PUBMEDCLIP: "clip"}.get(source, "clipseg")
    if not Path(source, "config.json").is_file():
        return "open_clip"
    return "clip" if raw_config(backbone).get("model_type") == "clip" else "clipseg"


def raw_config(backbone: str | Path) -> dict[str, Any]:
    """The ``config.json`` of a backbone, or what it would hold.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
        BackboneConfigError: when its description cannot be read.
        WeightsFileError: when a folder of open_clip holds another model.
    """
    source = backbone_source(backbone)
    path = _ARCHITECTURES.get(source, Path(source, "config.json"))
    with describing(backbone):
        if not path.is_file():
            return open_clip_values(source)
        values, _ = CLIPSegConfig.get_config_dict(str(path))
        return dict(values)


def not_available(what: str, source: str, mini: str = MINI) -> BackboneNotFoundError:
    """The error for a known backbone whose files cannot be had: where it was looked for, and three ways to get it."""
    if Path(source).is_dir():
        return BackboneNotFoundError(f"{source} holds no readable {what} in Hugging Face layout; copy the whole model")
    return BackboneNotFoundError(
        f"no {what} for backbone {source!r}: it is not in the Hugging Face cache ({HF_HUB_CACHE}) and the Hub "
        f"cannot be reached. Three ways to get it:\n"
        f"  1. with a network connection, once:  hf download {source}\n"
        f"  2. copy the model's folder to this machine and name it:  --backbone /path/to/folder\n"
        f"  3. copy the cache of a machine that has it and set HF_HOME to the copy\n"
        f"To try things out without it: --backbone {mini}"
    )
