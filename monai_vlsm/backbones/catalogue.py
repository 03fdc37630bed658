# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Backbones by name: architecture, tokenizer, and where their weights are."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from huggingface_hub.constants import HF_HUB_CACHE
from transformers import CLIPSegConfig, CLIPTokenizer

from monai_vlsm.errors import UserError

__all__ = [
    "MINI",
    "BackboneNotFoundError",
    "backbone_source",
    "known_backbones",
    "load_config",
    "load_tokenizer",
]

MINI = "clipseg-mini"
"""The backbone that ships with the package, see docs/clipseg_mini.md."""

_FOLDER = Path(str(files("monai_vlsm.backbones")))
_ARCHITECTURES = {"CIDAS/clipseg-rd64-refined": _FOLDER / "clipseg-rd64-refined.json"}


class BackboneNotFoundError(UserError, FileNotFoundError):
    """A backbone is not known, or known and not to be had."""


def known_backbones() -> list[str]:
    """Names that can be given besides the path of a local folder in Hugging Face layout."""
    return [MINI, *_ARCHITECTURES]


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
    source = backbone_source(backbone)
    path = _ARCHITECTURES.get(source, Path(source, "config.json"))
    values, _ = CLIPSegConfig.get_config_dict(str(path))
    if values.get("model_type") != "clipseg":
        raise ValueError(
            f"{path}: model_type must be 'clipseg', got {values.get('model_type')!r}; give a CLIPSeg model"
        )
    return CLIPSegConfig.from_dict(values)


@lru_cache(maxsize=8)
def load_tokenizer(backbone: str | Path) -> CLIPTokenizer:
    """Load the tokenizer of a backbone from its folder, the Hugging Face cache or the Hub.

    Raises:
        BackboneNotFoundError: when it cannot be had; the error says how to get it.
    """
    source = backbone_source(backbone)
    try:
        tokenizer = CLIPTokenizer.from_pretrained(source, local_files_only=Path(source).is_dir())
    except (OSError, ValueError) as error:
        raise not_available("tokenizer", source) from error
    config: Any = load_config(backbone)
    if len(tokenizer) != config.text_config.vocab_size:
        # transformers 5 returns a tokenizer without words when vocab.json and merges.txt are missing
        raise not_available("tokenizer", source)
    return tokenizer


def not_available(what: str, source: str) -> BackboneNotFoundError:
    """The error for a known backbone whose files cannot be had: where it was looked for, and three ways to get it."""
    if Path(source).is_dir():
        return BackboneNotFoundError(f"{source} holds no readable {what} in Hugging Face layout; copy the whole model")
    return BackboneNotFoundError(
        f"no {what} for backbone {source!r}: it is not in the Hugging Face cache ({HF_HUB_CACHE}) and the Hub "
        f"cannot be reached. Three ways to get it:\n"
        f"  1. with a network connection, once:  hf download {source}\n"
        f"  2. copy the model's folder to this machine and name it:  --backbone /path/to/folder\n"
        f"  3. copy the cache of a machine that has it and set HF_HOME to the copy\n"
        f"To try things out without it: --backbone {MINI}"
    )
