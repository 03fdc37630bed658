# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Score clipseg-mini on held-out drawn scenes: ``python tools/score_mini.py [--model DIR] [--image FILE]``.

Two figures decide whether the text is used: the mean IoU with what the prompt asks for, and the mean IoU of the same
prediction with the mask of another object of the same scene.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mini_data import TEST_SEED, prompt_masks, seeded_prompts
from mini_network import SIZE, logits_of, skips_of, to_pixels
from mini_prompts import FAMILIES, Prompt
from scenes import Scene, draw_scene
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import CLIPTokenizer

from monai_vlsm.networks import load_base
from monai_vlsm.networks.clipseg_base import CLIPSegBase

__all__ = ["FOLDER", "Judged", "judge", "predict", "summary"]

FOLDER = Path(__file__).resolve().parents[1] / "monai_vlsm" / "backbones" / "clipseg_mini"


class Judged(NamedTuple):
    """One prompt of one scene: IoU with its own mask, and with every other thing's mask (may be empty)."""

    prompt: Prompt
    right: float
    wrong: tuple[float, ...]


def _iou(found: Tensor, wanted: Tensor) -> float:
    union = (found | wanted).sum().item()
    return (found & wanted).sum().item() / union if union else 1.0


@torch.inference_mode()
def predict(
    model: CLIPSegBase, tokenizer: CLIPTokenizer, scene: Scene, texts: Sequence[str], edge: int = SIZE
) -> Tensor:
    """Probabilities (K, S, S) of K texts for one scene, in float32.

    Args:
        model: the network in evaluation mode.
        tokenizer: its tokenizer.
        scene: a drawn scene.
        texts: K prompts.
        edge: edge of the image that the network sees, in pixels.
    """
    skips = skips_of(model, to_pixels(torch.from_numpy(scene.image)[None], edge))
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    logits = logits_of(model, skips, tokens["input_ids"], tokens["attention_mask"])
    if edge != SIZE:
        logits = functional.interpolate(logits, size=(SIZE, SIZE), mode="bilinear")
    return logits[0].sigmoid()


def judge(model: CLIPSegBase, tokenizer: CLIPTokenizer, scene: Scene, seed: int, edge: int = SIZE) -> Iterator[Judged]:
    """Score every prompt of a scene.

    Args:
        model: the network in evaluation mode.
        tokenizer: its tokenizer.
        scene: a drawn scene with at least one thing.
        seed: seed of the prompts.
        edge: edge of the image that the network sees, in pixels.
    """
    prompts = seeded_prompts(scene.things, FAMILIES, seed)
    index = torch.from_numpy(scene.index)
    wanted = prompt_masks(index[None], [prompts])[0] > 0
    found = predict(model, tokenizer, scene, [prompt.text for prompt in prompts], edge) > 0.5
    for prompt, mask, area in zip(prompts, wanted, found, strict=True):
        others = [thing for thing in scene.things if not set(thing.indexes) & set(prompt.indexes)]
        wrong = [_iou(area, torch.isin(index, torch.tensor(thing.indexes))) for thing in others]
        yield Judged(prompt, _iou(area, mask), tuple(wrong))


def summary(judged: Sequence[Judged]) -> dict[str, dict[str, float]]:
    """Mean IoU with the right mask and with another object's mask, over all prompts and per family of attributes.

    ``wrong_worst`` takes, per prompt, the other object that the prediction meets best.
    """
    groups: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        groups["all"].append(one)
        groups[one.prompt.family].append(one)
    table = {}
    for name in ("all", *FAMILIES):
        group = groups[name]
        wrong = [value for one in group for value in one.wrong]
        worst = [max(one.wrong) for one in group if one.wrong]
        table[name] = {"prompts": float(len(group)), "right": float(np.mean([one.right for one in group] or [np.nan]))}
        table[name] |= {"wrong": float(np.mean(wrong or [np.nan])), "wrong_worst": float(np.mean(worst or [np.nan]))}
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=FOLDER, help="folder in Hugging Face layout")
    parser.add_argument("--edge", type=int, default=SIZE, help="edge of the images that the network sees")
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=TEST_SEED, help="seed of the first scene")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    args = parser.parse_args(arguments)
    model = load_base(args.model)
    tokenizer = CLIPTokenizer.from_pretrained(args.model)
    judged: list[Judged] = []
    for seed in tqdm(range(args.seed, args.seed + args.scenes), "scenes", mininterval=2):
        scene = draw_scene(seed, SIZE)
        if scene.things:
            judged += judge(model, tokenizer, scene, seed, args.edge)
    table = summary(judged)
    print(f"{args.scenes} held-out scenes, seeds {args.seed}..{args.seed + args.scenes - 1}, {args.edge} px")
    print(f"{'family':<20}{'prompts':>8}{'right':>8}{'other':>8}{'worst other':>13}")
    for name, row in table.items():
        print(f"{name:<20}{row['prompts']:>8.0f}{row['right']:>8.3f}{row['wrong']:>8.3f}{row['wrong_worst']:>13.3f}")
    if args.json:
        args.json.write_text(json.dumps({"scenes": args.scenes, "seed": args.seed, "scores": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
