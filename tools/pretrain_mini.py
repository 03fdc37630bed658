# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Train clipseg-mini from scratch on drawn scenes and write it in Hugging Face layout.

``python tools/pretrain_mini.py --output DIR --work DIR --minutes 85 --resume``

Scenes are drawn once into ``--work`` and then read from there; a checkpoint is written there every few minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mini_prompts import FAMILIES, Prompt, contrasting_prompts
from mini_tokenizer import write_tokenizer
from scenes import Thing, draw_scene
from torch import Tensor, nn
from tqdm import tqdm
from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPTokenizer

__all__ = [
    "SceneStore",
    "build_model",
    "family_weights",
    "load_state",
    "logits_of",
    "prompt_masks",
    "seeded_prompts",
    "to_pixels",
    "train",
]

SIZE = 160
EXTRACT = (3, 6, 9)
# Scenes of validation and of the final score come from seeds that training never reaches.
VALIDATION_SEED = 500_000_000
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# (share of the training at which the stage begins, families in use with their weights): one attribute at a time.
_STAGES: tuple[tuple[float, dict[str, float]], ...] = (
    (0.0, {"colour": 1}),
    (0.05, {"colour": 1, "location": 0.5, "shape": 0.3}),
    (0.10, {"colour": 1, "location": 0.8, "shape": 1, "region": 0.2}),
    (0.16, {"colour": 1, "location": 1, "shape": 1.2, "region": 0.2, "size": 0.6, "colour+shape": 0.5, "half": 0.3}),
    (0.25, {name: 1.0 for name in FAMILIES} | {"region": 0.3, "relation": 0.4, "size": 0.6, "colour": 1.5, "shape": 1.5}),
    (0.40, {name: 1.0 for name in FAMILIES} | {"region": 0.3, "relation": 0.4, "size": 0.6, "shape": 1.5}),
)


class SceneStore:
    """Scenes drawn ahead of time: two memory maps and the attributes of the things.

    Args:
        folder: where the files lie; they are drawn if they are missing.
        count: number of scenes.
        first: seed of the first scene; scene k has seed ``first + k``.
    """

    def __init__(self, folder: Path, count: int, first: int) -> None:
        self.folder, self.count, self.first = folder, count, first
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{first}_{count}"
        self.files = {kind: folder / f"{stem}_{kind}" for kind in ("image.npy", "index.npy", "things.json")}
        if not self.files["things.json"].exists():
            self._draw()
        self.images = np.load(self.files["image.npy"], mmap_mode="r")
        self.indexes = np.load(self.files["index.npy"], mmap_mode="r")
        rows = json.loads(self.files["things.json"].read_text())
        self.things = [tuple(Thing(tuple(r[0]), r[1], r[2], r[3], tuple(r[4]), r[5]) for r in row) for row in rows]

    def _draw(self) -> None:
        images = np.lib.format.open_memmap(self.files["image.npy"], "w+", np.uint8, (self.count, SIZE, SIZE, 3))
        indexes = np.lib.format.open_memmap(self.files["index.npy"], "w+", np.uint8, (self.count, SIZE, SIZE))
        rows = []
        with Pool(2) as pool:
            seeds = range(self.first, self.first + self.count)
            scenes = pool.imap(draw_scene, seeds, chunksize=64)
            for place, scene in enumerate(tqdm(scenes, "drawing scenes", self.count, mininterval=5)):
                images[place], indexes[place] = scene.image, scene.index
                rows.append([(t.indexes, t.shape, t.colour, t.size, t.centre, t.relation) for t in scene.things])
        self.files["things.json"].write_text(json.dumps(rows))


def build_model(tokenizer: CLIPTokenizer, seed: int = 0) -> CLIPSegForImageSegmentation:
    """The untrained clipseg-mini (about 5.7 M parameters), with an initialisation from which training starts.

    Args:
        tokenizer: gives the vocabulary size and the special ids.
        seed: seed of the weights.
    """
    torch.manual_seed(seed)
    text = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_hidden_layers": 10}
    vision = {"hidden_size": 192, "intermediate_size": 576, "num_attention_heads": 3, "num_hidden_layers": 10}
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    ids["pad_token_id"] = tokenizer.pad_token_id
    config = CLIPSegConfig(
        text_config={**text, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": 77, "hidden_act": "relu"},
        vision_config={**vision, "image_size": SIZE, "patch_size": 16, "hidden_act": "relu"},
        projection_dim=128,
        extract_layers=list(EXTRACT),
        reduce_dim=64,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=256,
        decoder_hidden_act="relu",
        use_complex_transposed_convolution=True,
        attn_implementation="eager",
    )
    model = CLIPSegForImageSegmentation(config)
    # transformers starts a CLIPSeg decoder with logits that deviate by about 400, from which no training recovers.
    for module in model.decoder.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm | nn.Conv2d | nn.ConvTranspose2d):
            module.reset_parameters()
    for tower in (model.clip.vision_model, model.clip.text_model):
        for module in tower.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5 * 0.6)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
        # Nearly closed branches: words and patches reach the decoder unmixed at first.
        for layer in tower.encoder.layers:
            nn.init.normal_(layer.self_attn.out_proj.weight, std=0.02)
            nn.init.normal_(layer.mlp.fc2.weight, std=0.02)
    nn.init.kaiming_normal_(model.clip.vision_model.embeddings.patch_embedding.weight, nonlinearity="linear")
    nn.init.normal_(model.clip.text_model.embeddings.token_embedding.weight, std=0.3)
    nn.init.normal_(model.clip.text_model.embeddings.position_embedding.weight, std=0.1)
    nn.init.normal_(model.clip.text_projection.weight, std=128**-0.5)
    nn.init.normal_(model.clip.vision_model.embeddings.position_embedding.weight, std=0.1)
    nn.init.ones_(model.decoder.film_mul.bias)
    nn.init.zeros_(model.decoder.film_add.bias)
    return model


def to_pixels(images: Tensor, size: int = SIZE) -> Tensor:
    """uint8 (B, S, S, 3) to normalised float (B, 3, size, size)."""
    pixels = images.permute(0, 3, 1, 2).float() / 255
    if pixels.shape[-1] != size:
        pixels = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return (pixels - torch.tensor(_MEAN).view(3, 1, 1)) / torch.tensor(_STD).view(3, 1, 1)


def logits_of(model: CLIPSegForImageSegmentation, pixels: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Logits (B, K, S, S) of K prompts for each of B pictures, with gradients into every part.

    ``CLIPSegForImageSegmentation.forward`` runs both encoders without gradients, so it cannot train them.

    Args:
        model: the network.
        pixels: normalised pictures (B, 3, S, S).
        ids: token ids (B * K, L).
        mask: attention mask (B * K, L).
    """
    count = ids.shape[0] // pixels.shape[0]
    vision = model.clip.vision_model(pixels, output_hidden_states=True, interpolate_pos_encoding=True)
    text = model.clip.text_projection(model.clip.text_model(ids, mask).pooler_output)
    # A decoder layer is per (picture, prompt) pair from the first FiLM on.
    hidden = [vision.hidden_states[layer + 1].repeat_interleave(count, 0) for layer in EXTRACT]
    logits = model.decoder(hidden, text).logits
    return logits.reshape(pixels.shape[0], count, *logits.shape[-2:])


def prompt_masks(indexes: Tensor, prompts: Sequence[Sequence[Prompt]]) -> Tensor:
    """Wanted areas (B, K, S, S) as float 0/1 of prompts for index maps (B, S, S)."""
    batch, size = indexes.shape[0], indexes.shape[-1]
    table = torch.zeros(batch, len(prompts[0]), 32)
    for row, group in enumerate(prompts):
        for column, prompt in enumerate(group):
            table[row, column, list(prompt.indexes)] = 1
    flat = indexes.long().reshape(batch, 1, -1).expand(-1, table.shape[1], -1)
    masks = table.gather(2, flat).reshape(batch, -1, size, size)
    along = (torch.arange(size) + 0.5) / size
    for row, group in enumerate(prompts):
        for column, prompt in enumerate(group):
            if prompt.side in ("left", "right"):
                masks[row, column] *= ((along < prompt.origin[0]) == (prompt.side == "left"))[None, :]
            elif prompt.side:
                masks[row, column] *= ((along < prompt.origin[1]) == (prompt.side == "top"))[:, None]
    return masks


def family_weights(share: float) -> tuple[list[str], list[float]]:
    """Families and weights of the curriculum at a share (0..1) of the training."""
    stage = [weights for start, weights in _STAGES if share >= start][-1]
    return list(stage), [float(weight) for weight in stage.values()]


def _tokens(tokenizer: CLIPTokenizer, prompts: Sequence[Sequence[Prompt]]) -> tuple[Tensor, Tensor]:
    texts = [prompt.text for group in prompts for prompt in group]
    encoded = tokenizer(texts, padding=True, pad_to_multiple_of=8, return_tensors="pt")
    return encoded["input_ids"], encoded["attention_mask"]


def seeded_prompts(things: Sequence[Thing], families: Sequence[str], seed: int, count: int = 4) -> list[Prompt]:
    """Prompts of a scene that depend on the seed alone."""
    return contrasting_prompts(things, count, families, [1.0] * len(families), random.Random(seed))


def _loss(logits: Tensor, target: Tensor) -> Tensor:
    """BCE with extra weight on outlines and small areas through a soft Dice term."""
    logits = logits.float()
    bce = F.binary_cross_entropy_with_logits(logits, target)
    chance = logits.sigmoid()
    both = (chance * target).sum((-1, -2))
    dice = 1 - (2 * both + 8) / (chance.sum((-1, -2)) + target.sum((-1, -2)) + 8)
    return bce + 0.6 * dice.mean()


@torch.no_grad()
def quick_score(
    model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, store: SceneStore, size: int, families: list[str]
) -> dict[str, float]:
    """Mean IoU with the right mask and with the mask of another prompt of the scene, and IoU per family."""
    model.eval()
    right: dict[str, list[float]] = {}
    wrong = []
    for start in range(0, store.count, 32):
        places = [p for p in range(start, min(start + 32, store.count)) if store.things[p]]
        prompts = [seeded_prompts(store.things[p], families, p) for p in places]
        target = prompt_masks(torch.from_numpy(store.indexes[places]), prompts)
        if size != SIZE:
            target = (F.interpolate(target, size=(size, size), mode="area") > 0.5).float()
        with torch.autocast("cpu", torch.bfloat16):
            logits = logits_of(
                model, to_pixels(torch.from_numpy(store.images[places]), size), *_tokens(tokenizer, prompts)
            )
        found = (logits.float() > 0).float()
        union = found[:, :, None] + target[:, None] - found[:, :, None] * target[:, None]
        iou = (found[:, :, None] * target[:, None]).sum((-1, -2)) / union.sum((-1, -2)).clamp(min=1)
        for row, group in enumerate(prompts):
            for column, prompt in enumerate(group):
                right.setdefault(prompt.family, []).append(iou[row, column, column].item())
                others = [k for k, o in enumerate(group) if not set(o.indexes) & set(prompt.indexes)]
                wrong += [iou[row, column, k].item() for k in others]
    model.train()
    every = [value for values in right.values() for value in values]
    scores = {"right": float(np.mean(every)), "wrong": float(np.mean(wrong or [0.0]))}
    return scores | {name: float(np.mean(values)) for name, values in sorted(right.items())}


def _replace(path: Path, payload: Any) -> None:
    temporary = path.with_suffix(".tmp")
    torch.save(payload, temporary)
    os.replace(temporary, path)


def _parameter_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    big = [p for p in model.parameters() if p.ndim > 1]
    small = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": big, "weight_decay": decay}, {"params": small, "weight_decay": 0.0}]


def load_state(path: Path, model: nn.Module) -> dict[str, Any]:
    """Load a training checkpoint into a model and return the whole checkpoint."""
    state: dict[str, Any] = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    return state


def _rate(share: float, step: int, args: argparse.Namespace) -> float:
    """Linear warm-up over 300 steps, flat to 45 % of the training, then a cosine down to 1 %."""
    fall = max(0.0, (share - 0.45) / 0.55)
    return args.lr * min(1.0, (step + 1) / 300) * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * min(fall, 1.0))))


def train(args: argparse.Namespace) -> None:
    """Train until the minutes or steps are used up, and write the checkpoint and ``log.jsonl`` in ``args.work``."""
    torch.set_num_threads(2)
    work = Path(args.work)
    (work / "tokenizer").mkdir(parents=True, exist_ok=True)
    tokenizer = write_tokenizer(work / "tokenizer")
    held_out = SceneStore(work / "scenes", 256, VALIDATION_SEED)
    stores = [SceneStore(work / "scenes", args.chunk, part * args.chunk) for part in range(args.chunks)]
    model = build_model(tokenizer, args.seed).train()
    optimizer = torch.optim.AdamW(_parameter_groups(model, args.weight_decay), lr=args.lr, betas=(0.9, 0.98))
    step, used = 0, 0.0
    if args.resume and (work / "state.pt").exists():
        state = load_state(work / "state.pt", model)
        optimizer.load_state_dict(state["optimizer"])
        step, used = state["step"], state["used"]
    rng = random.Random(args.seed + step)
    began = saved = scored = time.time()
    mean = 0.0
    bar = tqdm(desc="training", mininterval=10)
    while True:
        now = time.time()
        share = step / args.steps if args.steps else (used + now - began) / (60 * args.minutes)
        if share >= 1:
            break
        size = args.small if share < args.switch else SIZE
        families, weights = family_weights(share)
        store = rng.choice(stores)
        places = [p for p in sorted(rng.sample(range(store.count), args.batch)) if len(store.things[p]) > 0]
        prompts = [contrasting_prompts(store.things[p], args.prompts, families, weights, rng) for p in places]
        target = prompt_masks(torch.from_numpy(store.indexes[places]), prompts)
        if size != SIZE:
            target = F.interpolate(target, size=(size, size), mode="area")
        for group in optimizer.param_groups:
            group["lr"] = _rate(share, step, args)
        with torch.autocast("cpu", torch.bfloat16):
            logits = logits_of(
                model, to_pixels(torch.from_numpy(store.images[places]), size), *_tokens(tokenizer, prompts)
            )
        loss = _loss(logits, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if torch.isfinite(norm):
            optimizer.step()
        step += 1
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        bar.update()
        bar.set_postfix(loss=f"{mean:.3f}", share=f"{share:.3f}", refresh=False)
        if now - scored > args.score_every:
            scored = now
            row = {"step": step, "minutes": round((used + now - began) / 60, 2), "share": round(share, 4), "size": size}
            row |= {"loss": round(mean, 4), "norm": round(float(norm), 3)}
            row |= {k: round(v, 4) for k, v in quick_score(model, tokenizer, held_out, size, families).items()}
            with (work / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
        if now - saved > 180:
            saved = now
            _replace(
                work / "state.pt",
                {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step,
                    "used": used + now - began,
                },
            )
    _replace(
        work / "state.pt",
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "step": step,
            "used": used + time.time() - began,
        },
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, train and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True)
    parser.add_argument("--work", default="mini_work")
    parser.add_argument("--minutes", type=float, default=85)
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--chunk", type=int, default=10000)
    parser.add_argument("--chunks", type=int, default=4)
    parser.add_argument("--small", type=int, default=128)
    parser.add_argument("--switch", type=float, default=0.8)
    parser.add_argument("--score-every", type=float, default=120)
    train(parser.parse_args(arguments))


if __name__ == "__main__":
    main()
