# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The training behind ``pretrain_mini.py``: which prompts when, the loss, checkpoints and scores."""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mini_data import VALIDATION_SEED, SceneStore, prompt_masks, seeded_prompts, tokens
from mini_network import SIZE, build_model, logits_of, skips_of, to_pixels
from mini_prompts import FAMILIES, Prompt, contrasting_prompts
from mini_tokenizer import write_tokenizer
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm
from transformers import CLIPTokenizer

from monai_vlsm.networks.clipseg_base import CLIPSegBase

__all__ = ["Trainer", "family_weights", "learning_rate", "segmentation_loss"]

_EVERY = dict.fromkeys(FAMILIES, 1.0) | {"region": 0.3, "relation": 0.4, "size": 0.6, "shape": 1.5}
# (share of the training at which a stage begins, weights of its families). With everything from the start, the network
# learns to find every object and ignores the text for long.
_STAGES: tuple[tuple[float, dict[str, float]], ...] = (
    (0.0, {"colour": 1}),
    (0.05, {"colour": 1, "location": 0.5, "shape": 0.3}),
    (0.10, {"colour": 1, "location": 0.8, "shape": 1, "region": 0.2}),
    (0.16, {"colour": 1, "location": 1, "shape": 1.2, "region": 0.2, "size": 0.6, "colour+shape": 0.5, "half": 0.3}),
    (0.25, _EVERY | {"colour": 1.5}),
    (0.40, _EVERY),
)


def family_weights(share: float) -> tuple[list[str], list[float]]:
    """Families and their weights at a share (0..1) of the training."""
    stage = [weights for start, weights in _STAGES if share >= start][-1]
    return list(stage), [float(weight) for weight in stage.values()]


def learning_rate(share: float, step: int, peak: float) -> float:
    """Linear warm-up over 300 steps, flat to 45 % of the training, then a cosine down to 1 % of the peak."""
    fall = min(max(0.0, (share - 0.45) / 0.55), 1.0)
    return peak * min(1.0, (step + 1) / 300) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


def segmentation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """BCE plus 0.6 times soft Dice, averaged over images and prompts.

    Args:
        logits: (B, K, S, S), any floating dtype.
        target: (B, K, S, S) in 0..1.
    """
    logits = logits.float()
    chance = logits.sigmoid()
    both = (chance * target).sum((-1, -2))
    dice = 1 - (2 * both + 8) / (chance.sum((-1, -2)) + target.sum((-1, -2)) + 8)
    return functional.binary_cross_entropy_with_logits(logits, target) + 0.6 * dice.mean()


class Trainer:
    """A training run: the network, its optimizer, the scenes and the clock.

    Args:
        args: the parsed command line.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.work = args, Path(args.work)
        folder = self.work / "tokenizer"
        folder.mkdir(parents=True, exist_ok=True)
        resume = args.resume and (self.work / "state.pt").exists()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder) if resume else self.start_tokenizer(folder)
        self.model = self.start_model().train()
        self.held_out = self.scenes(args.held_out, VALIDATION_SEED)
        self.stores = [self.scenes(args.chunk, part * args.chunk) for part in range(args.chunks)]
        self.optimizer = self._optimizer()
        self.step, self.used = 0, 0.0
        if resume:
            self._load()
        self.rng = random.Random(args.seed + self.step)
        self.began = time.time()

    def start_tokenizer(self, folder: Path) -> CLIPTokenizer:
        """Write the tokenizer into a folder and load it."""
        return write_tokenizer(folder)

    def start_model(self) -> CLIPSegBase:
        """The network from which the training begins."""
        return build_model(self.tokenizer, self.args.seed)

    def scenes(self, count: int, first: int) -> SceneStore:
        """Scenes from a seed on, drawn if they are not there yet."""
        return SceneStore(self.work / "scenes", count, first)

    def _optimizer(self) -> torch.optim.Optimizer:
        trains = [p for p in self.model.parameters() if p.requires_grad]
        large, small = [p for p in trains if p.ndim > 1], [p for p in trains if p.ndim <= 1]
        groups = [{"params": large, "weight_decay": self.args.weight_decay}, {"params": small, "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.args.lr, betas=(0.9, 0.98))

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.work / "state.pt", weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.used = state["step"], state["used"]

    def save(self) -> None:
        """Write the checkpoint; a run that is killed meanwhile keeps the previous one."""
        temporary = self.work / "state.tmp"
        state = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state | {"step": self.step, "used": self.seconds()}, temporary)
        temporary.replace(self.work / "state.pt")

    def seconds(self) -> float:
        """Training time in seconds, those before a resume included."""
        return self.used + time.time() - self.began

    def share(self) -> float:
        """Share of the training that is done, by steps if they were given and else by time."""
        return self.step / self.args.steps if self.args.steps else self.seconds() / (60 * self.args.minutes)

    def size(self, share: float) -> int:
        """Edge of the training images in pixels: small ones first, because they cost a third less."""
        return int(self.args.small) if share < self.args.switch else SIZE

    def families(self, share: float) -> tuple[list[str], list[float]]:
        """Kinds of prompts and their weights at a share of the training."""
        return family_weights(share)

    def skips(self, images: Tensor, size: int) -> Sequence[Tensor]:
        """What the decoder reads of the images of a store."""
        return skips_of(self.model, to_pixels(images, size))

    def _forward(self, images: Tensor, prompts: Sequence[Sequence[Prompt]], size: int) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return logits_of(self.model, self.skips(images, size), *tokens(self.tokenizer, prompts))

    def learn(self, share: float) -> tuple[float, float]:
        """Take one optimizer step and return the loss and the gradient's norm."""
        families, weights = self.families(share)
        store, size = self.rng.choice(self.stores), self.size(share)
        places = [p for p in sorted(self.rng.sample(range(store.count), self.args.batch)) if store.things[p]]
        count = self.args.prompts
        prompts = [contrasting_prompts(store.things[p], count, families, weights, self.rng) for p in places]
        images, indexes = store.batch(places)
        target = prompt_masks(indexes, prompts)
        if size != SIZE:
            target = functional.interpolate(target, size=(size, size), mode="area")
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(share, self.step, self.args.lr)
        loss = segmentation_loss(self._forward(images, prompts, size), target)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.args.clip)
        if torch.isfinite(norm):
            self.optimizer.step()
        self.step += 1
        return loss.item(), norm.item()

    @torch.no_grad()
    def score(self, share: float) -> dict[str, float]:
        """Mean IoU of held-out scenes: with the right mask, with another prompt's disjoint mask, and per family."""
        families, size, store = self.families(share)[0], self.size(share), self.held_out
        right: dict[str, list[float]] = defaultdict(list)
        wrong: list[float] = []
        self.model.eval()
        for start in range(0, store.count, 32):
            places = [p for p in range(start, min(start + 32, store.count)) if store.things[p]]
            prompts = [seeded_prompts(store.things[p], families, p) for p in places]
            images, indexes = store.batch(places)
            target = functional.interpolate(prompt_masks(indexes, prompts), size=(size, size), mode="area") > 0.5
            found = self._forward(images, prompts, size) > 0
            both = (found[:, :, None] & target[:, None]).sum((-1, -2))
            iou = both / (found[:, :, None] | target[:, None]).sum((-1, -2)).clamp(min=1)
            for row, group in enumerate(prompts):
                for column, prompt in enumerate(group):
                    right[prompt.family].append(iou[row, column, column].item())
                    others = [k for k, other in enumerate(group) if not set(other.indexes) & set(prompt.indexes)]
                    wrong += [iou[row, column, k].item() for k in others]
        self.model.train()
        every = [value for values in right.values() for value in values]
        scores = {"right": float(np.mean(every)), "wrong": float(np.mean(wrong or [0.0]))}
        return scores | {f"family {name}": float(np.mean(values)) for name, values in sorted(right.items())}

    def _log(self, share: float, loss: float, norm: float) -> None:
        row: dict[str, float] = {"step": self.step, "minutes": self.seconds() / 60, "share": share}
        row |= {"pixels": self.size(share), "loss": loss, "norm": norm} | self.score(share)
        with (self.work / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps({name: round(value, 4) for name, value in row.items()}) + "\n")

    def run(self) -> None:
        """Train until the minutes or steps are used up."""
        mean, saved, logged = 0.0, time.time(), time.time()
        with tqdm(desc="training", initial=self.step, total=self.args.steps or None, mininterval=5) as bar:
            while (share := self.share()) < 1:
                loss, norm = self.learn(share)
                mean = 0.98 * mean + 0.02 * loss if mean else loss
                bar.update()
                bar.set_postfix(loss=f"{mean:.3f}", done=f"{share:.1%}", refresh=False)
                if time.time() - logged > self.args.score_every:
                    self._log(share, mean, norm)
                    logged = time.time()
                if time.time() - saved > 180:
                    self.save()
                    saved = time.time()
        self.save()
        self._log(1.0, mean, 0.0)
