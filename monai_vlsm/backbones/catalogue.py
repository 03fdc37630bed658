# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Backbones by name: architecture, tokenizer, and where their weights are."""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub.constants import HF_HUB_CACHE
from transformers import CLIPSegConfig, CLIPTokenizer

from monai_vlsm.backbones.waiting import bound_waiting
from monai_vlsm.errors import UserError

__all__ = [
    "MINI",
    "BackboneNotFoundError",
    "backbone_source",
    "backbone_type",
    "default_image_size",
    "known_backbones",
    "load_architecture",
    "load_config",
    "load_tokenizer",
    "prompt_ids",
]

MINI = "clipseg-mini"
"""The backbone that ships with the package, see docs/clipseg_mini.md."""

_FOLDER = Path(str(files("monai_vlsm.backbones")))
_CLIP_VOCABULARY = 49408
_ARCHITECTURES = {"CIDAS/clipseg-rd64-refined": _FOLDER / "clipseg-rd64-refined.json"}


class BackboneNotFoundError(UserError, FileNotFoundError):
    """A backbone is not known, or known and not to be had."""


def known_backbones(model_type: str = "clipseg") -> list[str]:
    """Names that can be given as a backbone, besides the path of a local folder where a network takes one.

    Args:
        model_type: ``"clipseg"``, ``"cris"``, ``"san"`` or ``"unet"``.
    """
    if model_type == "clipseg":
        return [MINI, *_ARCHITECTURES]
    return [name for name in _own_architectures() if load_architecture(name)["model_type"] == model_type]


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
    if str(backbone) in _own_architectures():
        values: dict[str, Any] = json.loads((_FOLDER / f"{backbone}.json").read_text(encoding="utf-8"))
        if model_type in (None, values["model_type"]):
            return values
    known = known_backbones(model_type) if model_type else list(_own_architectures())
    raise BackboneNotFoundError(
        f"unknown backbone {str(backbone)!r} for a network of type {model_type!r}; give one of {', '.join(known)}"
    )


def _own_architectures() -> tuple[str, ...]:
    published = {path.stem for path in _ARCHITECTURES.values()}
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json") if path.stem not in published))


def default_image_size(backbone: str | Path) -> int:
    """Side of the square input that a backbone is used with, in pixels.

    The released CLIPSeg has positions for 224 px and runs on 352 px (Lüddecke and Ecker, CVPR 2022); smaller ones run
    on their own size. A folder with a plain CLIP runs in SAN, at the size of ``san-vit-b16``.
    """
    if str(backbone) in _own_architectures():
        return int(load_architecture(backbone)["image_size"])
    if backbone_type(backbone) == "clip":
        return int(load_architecture("san-vit-b16")["image_size"])
    config: Any = load_config(backbone)
    own: int = config.vision_config.image_size
    return own if own < 224 else 352


def backbone_type(backbone: str | Path) -> str:
    """What a backbone is of: ``"clipseg"``, ``"clip"``, ``"cris"``, ``"san"`` or ``"unet"``; no network access.

    Args:
        backbone: a name from `known_backbones` of any type, or a local folder in Hugging Face layout.

    Raises:
        BackboneNotFoundError: when it is neither; the error lists the known names.
    """
    if str(backbone) in _own_architectures():
        return str(load_architecture(backbone)["model_type"])
    return str(_raw_config(backbone).get("model_type"))


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
    if Path(backbone, "config.json").is_file():
        return str(backbone)
    state = "a folder without config.json" if Path(backbone).is_dir() else "no such folder"
    raise BackboneNotFoundError(
        f"unknown backbone {str(backbone)!r} ({state}); "
        f"give one of {', '.join(known_backbones())}, or a local folder in Hugging Face layout"
    )


def load_config(backbone: str | Path) -> CLIPSegConfig:
    """Read the architecture of a backbone; no network access.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
        ValueError: when its ``config.json`` describes another kind of model.
    """
    values = _raw_config(backbone)
    if values.get("model_type") != "clipseg":
        raise ValueError(
            f"{backbone}: model_type must be 'clipseg', got {values.get('model_type')!r}; give a CLIPSeg model"
        )
    return CLIPSegConfig.from_dict(values)


def _raw_config(backbone: str | Path) -> dict[str, Any]:
    source = backbone_source(backbone)
    values, _ = CLIPSegConfig.get_config_dict(str(_ARCHITECTURES.get(source, Path(source, "config.json"))))
    return values


@lru_cache(maxsize=8)
def load_tokenizer(backbone: str | Path) -> CLIPTokenizer:
    """Load the tokenizer of a backbone from its folder, the Hugging Face cache or the Hub.

    Raises:
        BackboneNotFoundError: when it cannot be had; the error says how to get it.
    """
    if str(backbone) in _own_architectures():
        return load_tokenizer(load_architecture(backbone)["tokenizer"])
    source = backbone_source(backbone)
    bound_waiting()
    try:
        tokenizer = CLIPTokenizer.from_pretrained(source, local_files_only=Path(source).is_dir())
    except (OSError, ValueError) as error:
        raise not_available("tokenizer", source) from error
    if len(tokenizer) != _text_config(backbone).get("vocab_size", _CLIP_VOCABULARY):
        # transformers 5 returns a tokenizer without words when vocab.json and merges.txt are missing
        raise not_available("tokenizer", source)
    return tokenizer


def prompt_ids(backbone: str | Path, prompt: str) -> list[int]:
    """Token ids of one prompt, with begin and end, without padding. The empty prompt needs no tokenizer at hand.

    Raises:
        BackboneNotFoundError: when the tokenizer is needed and cannot be had.
    """
    if str(backbone) in _own_architectures():
        return prompt_ids(load_architecture(backbone)["tokenizer"], prompt)
    if prompt == "":
        text = _text_config(backbone)
        if text.get("eos_token_id") not in (None, 2):  # 2: files older than transformers 4.31 hold no ids
            return [text["bos_token_id"], text["eos_token_id"]]
    return load_tokenizer(backbone)(prompt, truncation=True).input_ids


def _text_config(backbone: str | Path) -> dict[str, Any]:
    text: dict[str, Any] = _raw_config(backbone).get("text_config") or {}
    return text


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
