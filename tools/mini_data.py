# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Scenes drawn ahead of time, and the masks that prompts ask for."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from mini_network import SIZE
from mini_prompts import Prompt, contrasting_prompts
from scenes import Thing, draw_scene
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPTokenizer

__all__ = ["TEST_SEED", "VALIDATION_SEED", "SceneStore", "prompt_masks", "seeded_prompts", "tokens"]

VALIDATION_SEED = 500_000_000
"""First seed of the scenes scored during training; training scenes count up from 0 and never reach it."""

TEST_SEED = 1_000_000_000
"""First seed of the scenes of the reported scores."""


class SceneStore:
    """Scenes drawn ahead of time: two memory maps and the attributes of the things.

    Args:
        folder: where the files lie; they are drawn if they are missing.
        count: number of scenes.
        first: seed of the first scene; scene k has seed ``first + k``.
    """

    def __init__(self, folder: Path, count: int, first: int) -> None:
        self.count, self.first = count, first
        folder.mkdir(parents=True, exist_ok=True)
        kinds = ("image.npy", "index.npy", "things.json")
        self.files = {kind: folder / f"{first}_{count}_{kind}" for kind in kinds}
        # The attributes are written last, so they tell whether the drawing was finished.
        if not self.files["things.json"].exists():
            self._draw()
        self.images = np.load(self.files["image.npy"], mmap_mode="r")
        self.indexes = np.load(self.files["index.npy"], mmap_mode="r")
        rows = json.loads(self.files["things.json"].read_text("utf-8"))
        self.things = [tuple(Thing(tuple(r[0]), r[1], r[2], r[3], tuple(r[4]), r[5]) for r in row) for row in rows]

    def _draw(self) -> None:
        shape = (self.count, SIZE, SIZE)
        images = np.lib.format.open_memmap(self.files["image.npy"], "w+", np.uint8, (*shape, 3))
        indexes = np.lib.format.open_memmap(self.files["index.npy"], "w+", np.uint8, shape)
        rows = []
        with Pool(2) as pool:
            scenes = pool.imap(draw_scene, range(self.first, self.first + self.count), chunksize=64)
            for place, scene in enumerate(tqdm(scenes, "drawing scenes", self.count, mininterval=5)):
                images[place], indexes[place] = scene.image, scene.index
                rows.append([(t.indexes, t.shape, t.colour, t.size, t.centre, t.relation) for t in scene.things])
        self.files["things.json"].write_text(json.dumps(rows), "utf-8")

    def batch(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """uint8 images (B, S, S, 3) and index maps (B, S, S) of some scenes."""
        return torch.from_numpy(self.images[places]), torch.from_numpy(self.indexes[places])


def _side_mask(prompt: Prompt, size: int) -> Tensor:
    along = (torch.arange(size) + 0.5) / size
    if prompt.side in ("left", "right"):
        return ((along < prompt.origin[0]) == (prompt.side == "left"))[None, :]
    return ((along < prompt.origin[1]) == (prompt.side == "top"))[:, None]


def prompt_masks(indexes: Tensor, prompts: Sequence[Sequence[Prompt]]) -> Tensor:
    """Wanted areas (B, K, S, S), float 0 or 1, of K prompts for each index map.

    Args:
        indexes: index maps (B, S, S), uint8.
        prompts: K prompts for each of the B scenes.
    """
    batch, size = indexes.shape[0], indexes.shape[-1]
    wanted = torch.zeros(batch, len(prompts[0]), 32)
    for row, group in enumerate(prompts):
        for column, prompt in enumerate(group):
            wanted[row, column, list(prompt.indexes)] = 1
    flat = indexes.long().reshape(batch, 1, -1).expand(-1, wanted.shape[1], -1)
    masks = wanted.gather(2, flat).reshape(batch, -1, size, size)
    for row, group in enumerate(prompts):
        for column, prompt in enumerate(group):
            if prompt.side:
                masks[row, column] *= _side_mask(prompt, size)
    return masks


def seeded_prompts(things: Sequence[Thing], families: Sequence[str], seed: int, count: int = 4) -> list[Prompt]:
    """Prompts of a scene that depend on the seed alone."""
    return contrasting_prompts(things, count, families, [1.0] * len(families), random.Random(seed))


def tokens(tokenizer: CLIPTokenizer, prompts: Sequence[Sequence[Prompt]]) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both (B * K, L).

    Lengths are rounded up to a multiple of 8: each new length costs seconds of kernel set-up on a CPU.
    """
    texts = [prompt.text for group in prompts for prompt in group]
    encoded = tokenizer(texts, padding=True, pad_to_multiple_of=8, return_tensors="pt")
    return encoded["input_ids"], encoded["attention_mask"]
