# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders as BiomedCLIP and PubMedCLIP are published, with few weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, CLIPConfig, CLIPModel

from tests import tiny
from tests.networks.tiny_vit import TinyViT

PATCH = 32  # of PubMedCLIP
WIDTH, EMBEDDING = 128, 24
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [
    *SPECIAL,
    *tiny.WORDS,
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
]


def bert() -> BertModel:
    """The text encoder of `write_biomed`."""
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=10,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=300,
    )
    return BertModel(config, add_pooling_layer=False).eval()


class OpenClip(nn.Module):
    """What open_clip makes of BiomedCLIP's settings, as far as weights go."""

    def __init__(self) -> None:
        super().__init__()
        self.visual = nn.Module()
        self.visual.trunk = TinyViT()
        self.visual.head = nn.Module()
        self.visual.head.proj = nn.Linear(WIDTH, EMBEDDING, bias=False)
        self.text = nn.Module()
        self.text.transformer = bert()
        inner = (WIDTH + EMBEDDING) // 2
        layers = [nn.Linear(WIDTH, inner, bias=False), nn.GELU(), nn.Linear(inner, EMBEDDING, bias=False)]
        self.text.proj = nn.Sequential(*layers)
        self.logit_scale = nn.Parameter(torch.tensor(4.4))

    def encode_text(self, ids: Tensor) -> Tensor:
        states = self.text.transformer(ids, attention_mask=(ids != 0).long()).last_hidden_state
        return self.text.proj(states[:, 0])


def open_clip(seed: int = 0) -> OpenClip:
    """The model in `write_biomed`; the same seed gives the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = OpenClip().eval()
        for name, value in model.named_parameters():  # biases and norms that are not trivial
            if value.ndim == 1:
                nn.init.normal_(value, mean=float(name.endswith("weight")), std=0.1)
    return model


def write_biomed(folder: Path, edit: Callable[[dict[str, Any], dict[str, Any]], object] | None = None) -> Path:
    """Write ``open_clip_config.json``, ``open_clip_pytorch_model.bin`` and a tokenizer, as in BiomedCLIP's repository.

    Args:
        folder: where to.
        edit: changes weights and settings before they are written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = {"hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract", "hf_proj_type": "mlp"}
    text |= {"hf_pooler_type": "cls_last_hidden_state_pooler", "context_length": 256}
    vision = {"timm_model_name": "vit_base_patch16_224", "timm_pool": "", "timm_proj": "linear", "image_size": 224}
    images = {"mean": [0.481, 0.457, 0.408], "std": [0.268, 0.261, 0.275]}
    settings: dict[str, Any] = {
        "model_cfg": {"embed_dim": EMBEDDING, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": images,
    }
    state: dict[str, Any] = dict(open_clip().state_dict())
    state["text.transformer.embeddings.position_ids"] = torch.arange(300)[None]  # as in the published file
    if edit is not None:
        edit(state, settings)
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    special = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    names = {**special, "mask_token": "[MASK]", "tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# A small one\n")
    return folder


def write_pubmed(folder: Path) -> Path:
    """Write a CLIP of Hugging Face with patches of 32 px, as PubMedCLIP's repository holds it."""
    sizes = tiny.config().to_dict()
    text, vision = sizes["text_config"], {**sizes["vision_config"], "patch_size": PATCH, "image_size": 2 * PATCH}
    parts = {"text_config": {**text, "model_type": "clip_text_model"}}
    parts |= {"vision_config": {**vision, "model_type": "clip_vision_model", "num_hidden_layers": 10}}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        CLIPModel(CLIPConfig(**parts, projection_dim=8)).save_pretrained(folder)
    return tiny.write_tokenizer(folder)
