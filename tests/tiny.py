# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A CLIPSeg of a few thousand weights, in Hugging Face layout, with a tokenizer: what the tests run on."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPTokenizer

SIZE = 32
WORDS = ["polyp", "brain", "left", "right", "small", "round", "red", "one"]


def end_of_text() -> int:
    """Id of the token behind a text; the one in front of it is one less."""
    return len(vocabulary_and_merges()[0]) - 1


def config(**overrides: object) -> CLIPSegConfig:
    """Architecture: 12 vision and 10 text layers, 16 px patches, 32 px images."""
    vocabulary = len(vocabulary_and_merges()[0])
    values: dict[str, object] = {
        "text_config": {
            "vocab_size": vocabulary,
            "hidden_size": 8,
            "intermediate_size": 16,
            "num_hidden_layers": 10,
            "num_attention_heads": 2,
            "max_position_embeddings": 77,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
            "pad_token_id": vocabulary - 1,
        },
        "vision_config": {
            "hidden_size": 12,
            "intermediate_size": 16,
            "num_hidden_layers": 12,
            "num_attention_heads": 2,
            "image_size": SIZE,
            "patch_size": 16,
        },
        "projection_dim": 8,
        "reduce_dim": 8,
        "decoder_num_attention_heads": 2,
        "decoder_intermediate_size": 16,
        "use_complex_transposed_convolution": True,
    }
    return CLIPSegConfig(**{**values, **overrides})


@cache
def vocabulary_and_merges() -> tuple[dict[str, int], list[str]]:
    """CLIP's byte-level vocabulary with whole words for `WORDS` only."""
    symbols = sorted(ByteLevel.alphabet())
    entries = [*symbols, *(symbol + "</w>" for symbol in symbols)]
    merges: list[str] = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            pair, joined = f"{parts[0]} {parts[1]}", parts[0] + parts[1]
            parts = [joined, *parts[2:]]
            if joined not in entries:
                entries.append(joined)
                merges.append(pair)
    entries += ["<|startoftext|>", "<|endoftext|>"]
    return {entry: index for index, entry in enumerate(entries)}, merges


def write_tokenizer(folder: Path) -> Path:
    """Write ``vocab.json``, ``merges.txt`` and ``tokenizer_config.json`` as CLIP's repositories hold them."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, merges = vocabulary_and_merges()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    settings = {**special, "pad_token": "<|endoftext|>", "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def write_backbone(folder: Path, seed: int = 0, **save_arguments: object) -> Path:
    """Write a whole backbone with transformers itself; the weights depend on ``seed`` alone."""
    generator_state = torch.get_rng_state()
    torch.manual_seed(seed)
    model = CLIPSegForImageSegmentation(config())
    for module in model.decoder.modules():  # transformers' own initialisation gives logits in the hundreds
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            module.reset_parameters()
    torch.set_rng_state(generator_state)
    model.save_pretrained(folder, **save_arguments)
    return write_tokenizer(folder)


def tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of `write_tokenizer`."""
    return CLIPTokenizer.from_pretrained(write_tokenizer(folder))
