# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the others are measured against: CLIPSeg fine-tuned in the obvious way with the parts that transformers offers.

All 12 vision layers and all 77 text positions are computed, attention is ``"eager"``, each prompt takes a forward pass
of its own, and images are decoded and resized whenever they are needed. Adapters sit where the paper puts them, so
that both sides compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPSegForImageSegmentation

KINDS = ("dense_v", "dense_vl", "shallow_vl", "decoder")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Bottleneck(nn.Module):
    """``x + relu(up(relu(down(x))))``."""

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.up(torch.relu(self.down(x))))


class Adapted(nn.Module):
    """A module of the frozen network with a bottleneck behind it."""

    def __init__(self, inner: nn.Module, width: int, bottleneck: int) -> None:
        super().__init__()
        self.inner = inner
        self.adapter = Bottleneck(width, bottleneck)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        output = self.inner(*args, **kwargs)
        if isinstance(output, tuple):
            return (self.adapter(output[0]), *output[1:])
        return self.adapter(output)


class PlainCLIPSeg(nn.Module):
    """One mask for one prompt on each image: logits ``(B, 1, H, W)``.

    Args:
        model: as transformers builds it; it is changed.
        kind: what trains, one of `KINDS`.
    """

    def __init__(self, model: CLIPSegForImageSegmentation, kind: str) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.model.set_attn_implementation("eager")
        self.kind = kind
        self.extract = list(model.config.extract_layers)
        vision, text = model.clip.vision_model, model.clip.text_model
        if kind.startswith("dense"):
            for encoder in (vision, text)[: len(kind.partition("_")[2])]:
                self._adapt(encoder)
        elif kind == "shallow_vl":
            self.skip_adapters = _bottlenecks(vision.config.hidden_size, len(self.extract))
            self.text_adapters = _bottlenecks(text.config.hidden_size, len(self.extract))
        else:
            model.decoder.requires_grad_(True)

    def forward(self, image: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if self.kind == "decoder":  # the only one that transformers' own forward pass can train: it has no gradients
            return self.model(input_ids=input_ids, pixel_values=image, attention_mask=attention_mask).logits[:, None]
        clip = self.model.clip
        seen = clip.vision_model(image, output_hidden_states=True, interpolate_pos_encoding=True).hidden_states
        read = clip.text_model(input_ids, attention_mask=attention_mask, output_hidden_states=True)
        skips = [seen[layer + 1] for layer in self.extract]
        condition = clip.text_projection(read.pooler_output)
        if self.kind == "shallow_vl":
            skips = [adapter(skip) for adapter, skip in zip(self.skip_adapters, skips, strict=True)]
            ends = (input_ids == clip.text_model.config.eos_token_id).int().argmax(-1)
            rows = torch.arange(len(ends), device=ends.device)
            for adapter, layer in zip(self.text_adapters, self.extract, strict=True):
                condition = condition + adapter(read.hidden_states[layer + 1][rows, ends])
        return self.model.decoder(tuple(skips), condition).logits[:, None]

    def _adapt(self, encoder: Any) -> None:
        for layer in encoder.encoder.layers[: max(self.extract)]:
            layer.self_attn = Adapted(layer.self_attn, encoder.config.hidden_size, 64)
            layer.mlp = Adapted(layer.mlp, encoder.config.hidden_size, 64)


def _bottlenecks(width: int, count: int) -> nn.ModuleList:
    return nn.ModuleList(Bottleneck(width, 512) for _ in range(count))


class PlainTrainer:
    """A training step as a loop of one's own would have it; float32 on a CPU, float16 with a scaler on a GPU."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network.train()
        self.device = device
        self.loss = DiceCELoss(sigmoid=True, lambda_dice=1.5, lambda_ce=1.0)
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3, weight_decay=1e-3)
        self.scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")

    def step(self, image: Tensor, input_ids: Tensor, attention_mask: Tensor, target: Tensor) -> Tensor:
        """Take the step; returns the loss."""
        self.optimizer.zero_grad()
        with half_on_gpu(self.device):
            logits = self.network(image, input_ids, attention_mask)
        loss: Tensor = self.loss(logits.float(), target)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, 0.5)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()


def half_on_gpu(device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast("cuda", torch.float16) if device.type == "cuda" else nullcontext()


class PlainImages(Dataset[tuple[Tensor, ...]]):
    """Images and masks from files: decoded, resized and normalised each time, texts padded to 77 tokens."""

    def __init__(self, rows: Sequence[dict[str, str]], folder: Path, size: int, tokenizer: Any) -> None:
        self.rows, self.folder, self.size, self.tokenizer = rows, folder, size, tokenizer

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        row, square = self.rows[index], (self.size, self.size)
        rgb = Image.open(self.folder / row["image"]).convert("RGB").resize(square, Image.Resampling.BILINEAR)
        mask = Image.open(self.folder / row["mask"]).convert("L").resize(square, Image.Resampling.NEAREST)
        image = torch.from_numpy((np.asarray(rgb, np.float32) / 255 - MEAN) / STD).permute(2, 0, 1).float()
        target = torch.from_numpy((np.asarray(mask) > 127).astype(np.float32))[None]
        tokens = self.tokenizer(row["prompt"], padding="max_length", max_length=77, truncation=True)
        return image, torch.tensor(tokens.input_ids), torch.tensor(tokens.attention_mask), target


def plain_batches(images: PlainImages, batch: int) -> Iterator[tuple[Tensor, ...]]:
    """One epoch."""
    yield from DataLoader(images, batch_size=batch, shuffle=True)
