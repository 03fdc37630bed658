# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A CLIPSeg around a pretrained image encoder: text encoder and decoder of clipseg-mini go on training on it."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mini_data import SceneStore
from mini_network import skips_of, to_pixels
from mini_trainer import Trainer, family_weights
from onnx_encoder import ImageEncoder, read_image_encoder
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPSegConfig, CLIPTokenizer

from monai_vlsm.backbones import MINI, backbone_source
from monai_vlsm.networks import load_base
from monai_vlsm.networks.clipseg_base import CLIPSegBase, reset_decoder

__all__ = ["AroundTrainer", "FrozenStore", "build_around", "fit_reduces"]

_BATCH = 32  # scenes that the encoder sees at a time
_TOKENIZER = ("merges.txt", "tokenizer_config.json", "vocab.json")


def build_around(encoder: ImageEncoder, seed: int = 0) -> CLIPSegBase:
    """A CLIPSeg with an image encoder that is frozen, and the rest of clipseg-mini as far as shapes allow.

    Args:
        encoder: the image encoder.
        seed: seed of what begins at random: the decoder's first layers, which read the encoder, and its last.
    """
    torch.manual_seed(seed)
    mini = load_base(MINI)
    model = CLIPSegBase(
        CLIPSegConfig.from_dict({**mini.config.to_dict(), "vision_config": encoder.config, "decoder_patch_size": 16})
    )
    reset_decoder(model)
    own = model.state_dict()
    begin = {name: value for name, value in mini.state_dict().items() if name in own and own[name].shape == value.shape}
    begin |= {f"clip.vision_model.{name}": value for name, value in encoder.weights.items()}
    model.load_state_dict(begin, strict=False)
    for part in (model.clip.vision_model, model.clip.visual_projection):
        part.requires_grad_(False)
    # as in mini_network.build_model
    model.set_attn_implementation("eager")
    return model


class FrozenStore(SceneStore):
    """Scenes whose images are what a frozen encoder makes of them, computed once: float16 (count, 3, N, C).

    Args:
        folder: where the files lie.
        count: number of scenes.
        first: seed of the first scene.
        model: the network.
        size: edge of the images in pixels.
    """

    def __init__(self, folder: Path, count: int, first: int, model: CLIPSegBase, size: int) -> None:
        super().__init__(folder, count, first)
        self.drawn = self.images
        path = folder / f"{first}_{count}_skips_{size}.npy"
        if not path.exists():
            self._encode(model, size, path)
        self.images = np.load(path, mmap_mode="r")

    @torch.no_grad()
    def _encode(self, model: CLIPSegBase, size: int, path: Path) -> None:
        temporary, skips = path.with_suffix(".tmp"), None
        for start in tqdm(range(0, self.count, _BATCH), "encoding scenes", mininterval=5):
            pixels = to_pixels(torch.from_numpy(np.array(self.images[start : start + _BATCH])), size)
            with torch.autocast("cpu", torch.bfloat16):
                found = torch.stack(skips_of(model, pixels), 1).half().numpy()
            if skips is None:
                skips = np.lib.format.open_memmap(temporary, "w+", np.float16, (self.count, *found.shape[1:]))
            skips[start : start + len(found)] = found
        temporary.replace(path)


@torch.no_grad()
def fit_reduces(model: Any, store: Any, edge: int) -> None:
    """Fit the decoder's first layers to the encoder: they shall say what those of clipseg-mini say of its own.

    Least squares over all patches of the scenes. The rest of clipseg-mini's decoder can then go on from what it knows.

    Args:
        model: the network, a `CLIPSegBase`.
        store: a `FrozenStore`.
        edge: edge of the images that it saw, in pixels.
    """
    mini: Any = load_base(MINI)
    size = edge // model.config.vision_config.patch_size * mini.config.vision_config.patch_size  # as many patches
    layers, teachers = model.decoder.reduces, mini.decoder.reduces
    width = layers[0].in_features + 1
    squares = [torch.zeros(width, width + layer.out_features, dtype=torch.float64) for layer in layers]
    for start in tqdm(range(0, store.count, _BATCH), "fitting the decoder", mininterval=5):
        pixels = to_pixels(torch.from_numpy(np.array(store.drawn[start : start + _BATCH])), size)
        given = torch.from_numpy(np.array(store.images[start : start + _BATCH])).unbind(1)
        for place, (states, wanted) in enumerate(zip(given[::-1], skips_of(mini, pixels)[::-1], strict=True)):
            rows = torch.cat([states.double(), torch.ones(*states.shape[:2], 1)], -1).flatten(0, 1)
            squares[place] += rows.T @ torch.cat([rows, teachers[place](wanted).double().flatten(0, 1)], 1)
    for layer, sums in zip(layers, squares, strict=True):
        normal = sums[:, :width] + 1e-6 * sums[:, :width].diagonal().mean() * torch.eye(width)
        found = torch.linalg.solve(normal, sums[:, width:])
        layer.weight.copy_(found[:-1].T)
        layer.bias.copy_(found[-1])


class AroundTrainer(Trainer):
    """A training with an image encoder that is given and stays as it is.

    Text encoder and decoder come from clipseg-mini and are fitted to it, so all kinds of prompts are there at once.

    Args:
        args: the parsed command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.encoder = read_image_encoder(args.image_tower)
        super().__init__(args)
        if self.step == 0:
            fit_reduces(self.model, self.stores[0], args.edge)
            self.began = time.time()

    def start_tokenizer(self, folder: Path) -> CLIPTokenizer:
        for name in _TOKENIZER:
            shutil.copy(Path(backbone_source(MINI), name), folder / name)
        return CLIPTokenizer.from_pretrained(folder)

    def start_model(self) -> CLIPSegBase:
        return build_around(self.encoder, self.args.seed)

    def scenes(self, count: int, first: int) -> SceneStore:
        return FrozenStore(self.work / "scenes", count, first, self.model, self.args.edge)

    def size(self, share: float) -> int:
        return int(self.args.edge)

    def families(self, share: float) -> tuple[list[str], list[float]]:
        return family_weights(1.0)

    def skips(self, images: Tensor, size: int) -> Sequence[Tensor]:
        return images.unbind(1)
