# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from monai_vlsm.backbones import (
    BackboneNotFoundError,
    backbone_source,
    catalogue,
    known_backbones,
    load_config,
    load_tokenizer,
)
from monai_vlsm.networks import load_base

RELEASED = "CIDAS/clipseg-rd64-refined"
MEDICAL = ["microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224", "flaviagiammarino/pubmed-clip-vit-base-patch32"]


def test_known_names() -> None:
    assert known_backbones() == ["clipseg-mini", RELEASED, *MEDICAL]


def test_architecture_needs_no_network() -> None:
    config = load_config(RELEASED)
    assert (config.vision_config.hidden_size, config.text_config.hidden_size) == (768, 512)
    assert tuple(config.extract_layers) == (3, 6, 9)


def test_tokenizer_of_a_folder(backbone: Path) -> None:
    tokenizer = load_tokenizer(backbone)
    text = load_config(backbone).text_config
    ids = tokenizer("One POLYP").input_ids
    assert (ids[0], ids[-1], tokenizer.pad_token_id) == (text.bos_token_id, text.eos_token_id, text.eos_token_id)
    assert tokenizer.decode(ids[1:-1]).strip() == "one polyp"


@pytest.mark.parametrize("name", ["clipseg-maxi", "CIDAS/other", ""])
def test_unknown(name: str) -> None:
    with pytest.raises(BackboneNotFoundError, match=rf"unknown backbone .{name}.*clipseg-mini, {RELEASED}, .*, or a"):
        backbone_source(name)


def test_folder_without_config(tmp_path: Path) -> None:
    with pytest.raises(BackboneNotFoundError, match=r"a folder without config\.json"):
        backbone_source(tmp_path)


def test_config_of_another_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="model_type must be 'clipseg', got 'bert'"):
        load_config(tmp_path)


def test_folder_without_tokenizer(tmp_path: Path, backbone: Path) -> None:
    (tmp_path / "config.json").write_text((backbone / "config.json").read_text())
    with pytest.raises(BackboneNotFoundError, match="no readable tokenizer"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("load", [load_tokenizer, load_base])
def test_no_weights_and_no_network(load: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an empty cache: at most 8 lines with the id, the cache, and three ways to get the files."""
    load_tokenizer.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for module in (constants, catalogue):
        monkeypatch.setattr(module, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(BackboneNotFoundError) as caught:
        load(RELEASED)
    lines = str(caught.value).splitlines()
    assert len(lines) <= 8
    assert RELEASED in lines[0]
    assert str(tmp_path) in lines[0]
    assert [line.strip()[:2] for line in lines[1:4]] == ["1.", "2.", "3."]
