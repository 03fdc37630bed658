# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a measurement is made under: network size, device, precision, batch; and the inputs that follow from it."""

from __future__ import annotations

import json
import math
import os
import platform
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
import transformers
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor, nn
from transformers import CLIPSegForImageSegmentation

from monai_vlsm.backbones import MINI, default_image_size, load_config
from monai_vlsm.networks import load_base

REAL = "CIDAS/clipseg-rd64-refined"
PROMPT_LENGTHS = (13, 21)  # tokens; mean and longest of a usual batch of the datasets of the paper
PROMPTS = ("polyp", "one small round polyp")


@dataclass(frozen=True)
class Conditions:
    """How to measure.

    Args:
        batch: images in a step.
        device: ``"cpu"`` or ``"cuda"``.
        precision: of our side, ``"fp32"``, ``"bf16"`` or ``"fp16"``.
        attention: of our side, ``"eager"`` or ``"sdpa"``.
        quick: take the small embedded network, to see that everything runs. The figures mean nothing then.
        compile: mode of ``torch.compile`` for our side, such as ``"default"`` or ``"reduce-overhead"``; empty for none.
        size: side of the images in pixels; None takes that of the network.
    """

    batch: int = 2
    device: str = "cpu"
    precision: str = "fp32"
    attention: str = "sdpa"
    quick: bool = False
    compile: str = ""
    size: int | None = None

    @property
    def torch_device(self) -> torch.device:
        return torch.device(self.device)

    @property
    def backbone(self) -> str:
        return MINI if self.quick else REAL

    @property
    def image_size(self) -> int:
        return self.size or default_image_size(self.backbone)

    @property
    def dtype(self) -> torch.dtype:
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]


def plain_base(conditions: Conditions) -> CLIPSegForImageSegmentation:
    """CLIPSeg with random weights at real size (there is no network where this runs), with its own if small."""
    torch.manual_seed(0)
    base = load_base(conditions.backbone, load_weights=conditions.quick)
    settle(base)
    return base


def settle(base: CLIPSegForImageSegmentation) -> None:
    """Give the decoder torch's initial weights; with transformers' own the logits are in the hundreds."""
    torch.manual_seed(1)
    for module in base.decoder.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()


def fill_adapters(parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
    """Give each adapter weights that follow from its name, so that both sides get the same ones."""
    for name, parameter in parameters:
        if "adapter" in name:
            generator = torch.Generator().manual_seed(zlib.crc32(common_name(name).encode()))
            drawn = torch.rand(parameter.shape, generator=generator, device="cpu") * 2 - 1
            parameter.data.copy_(drawn * math.prod(parameter.shape[-1:]) ** -0.5)


def common_name(name: str) -> str:
    """The name of a parameter without what the two sides put in front of it."""
    return name.replace(".inner.", ".").removeprefix("base.").removeprefix("model.").removeprefix("feature_adapters.")


def random_batch(conditions: Conditions, prompts: int = 1) -> tuple[Tensor, ...]:
    """Images, tokens ``(B, K, 77)`` with lengths from `PROMPT_LENGTHS`, attention mask, masks ``(B, K, S, S)``."""
    generator = torch.Generator().manual_seed(2)
    size, images = conditions.image_size, conditions.batch
    text: Any = load_config(conditions.backbone).text_config
    ids = torch.full((images * prompts, 77), text.eos_token_id)
    mask = torch.zeros(images * prompts, 77, dtype=torch.int64)
    for row in range(images * prompts):
        length = PROMPT_LENGTHS[row % len(PROMPT_LENGTHS)]
        words = torch.randint(0, min(text.bos_token_id, text.eos_token_id), (length - 2,), generator=generator)
        ids[row, 0], ids[row, 1 : length - 1], mask[row, :length] = text.bos_token_id, words, 1
    image = torch.randn(images, 3, size, size, generator=generator)
    target = (torch.rand(images, prompts, size, size, generator=generator) > 0.7).float()
    tokens = (part.view(images, prompts, 77) for part in (ids, mask))
    return tuple(part.to(conditions.device) for part in (image, *tokens, target))


def write_images(folder: Path, train: int, val: int, width: int, height: int) -> None:
    """Write a dataset of JPEG with one bright ellipse each: ``train.json`` and ``val.json``.

    Eight different images are drawn; further ones are links to them, because drawing takes long.
    """
    generator = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    for index in range(train + val):
        row = {"image": f"images/{index}.jpg", "mask": f"masks/{index}.png", "prompt": PROMPTS[index % len(PROMPTS)]}
        if index < 8:
            _draw(folder, row, width, height, generator)
        else:
            for key in ("image", "mask"):
                os.link(folder / rows[index % 8][key], folder / row[key])
        rows.append(row)
    for split, chosen in (("train", rows[:train]), ("val", rows[train:])):
        (folder / f"{split}.json").write_text(json.dumps(chosen))


def _draw(folder: Path, row: dict[str, str], width: int, height: int, generator: np.random.Generator) -> None:
    coarse = Image.fromarray(generator.integers(20, 90, (height // 16, width // 16, 3), dtype=np.uint8))
    image = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(np.int16)
    y, x = np.ogrid[:height, :width]
    centre, radius = generator.uniform(0.4, 0.6, 2), generator.uniform(0.15, 0.25)
    inside = ((y / height - centre[0]) ** 2 + (x / width - centre[1]) ** 2) < radius**2
    grain = generator.integers(-3, 4, (height, width, 1), dtype=np.int16)
    shown = np.clip(image + grain + 120 * inside[..., None], 0, 255).astype(np.uint8)
    Image.fromarray(shown).save(folder / row["image"], quality=92)
    Image.fromarray((inside * 255).astype(np.uint8)).save(folder / row["mask"])


def write_backbone(folder: Path, conditions: Conditions) -> Path:
    """Write the network and a tokenizer with as many entries as CLIP's, for configs that load a backbone from files."""
    plain_base(conditions).save_pretrained(folder)
    symbols = sorted(ByteLevel.alphabet())
    single = [*symbols, *(symbol + "</w>" for symbol in symbols)]
    text: Any = load_config(conditions.backbone).text_config
    pairs = list(product(symbols, symbols))[: text.vocab_size - len(single) - 2]
    entries = [*single, *(first + second for first, second in pairs), "<|startoftext|>", "<|endoftext|>"]
    merges = "\n".join(["#version: 0.2", *(f"{first} {second}" for first, second in pairs)])
    (folder / "vocab.json").write_text(json.dumps({entry: index for index, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text(merges + "\n", encoding="utf-8")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    settings = {**special, "pad_token": "<|endoftext|>", "model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def machine(device: str) -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    able = [name for name, present in torch.cpu.get_capabilities().items() if present is True and "bf16" in name]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bf16_instructions": able,
        "card": torch.cuda.get_device_name() if device == "cuda" else None,
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
        "transformers": transformers.__version__,
    }
