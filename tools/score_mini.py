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
from mini_network import SIZE, to_pixels
from mini_prompts import FAMILIES, Prompt
from scenes import Scene, draw_scene
from torch import Tensor
from tqdm import tqdm
from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

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
def predict(model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, scene: Scene, texts: Sequence[str]) -> Tensor:
    """Probabilities (K, S, S) of K texts for one scene, in float32 by transformers' own forward.

    Args:
        model: the network in evaluation mode.
        tokenizer: its tokenizer.
        scene: a drawn scene.
        texts: K prompts.
    """
    pixels = to_pixels(torch.from_numpy(scene.image)[None]).expand(len(texts), -1, -1, -1)
    tokens = tokenizer(list(texts), padding=True, return_tensors="pt")
    logits = model(pixel_values=pixels, **tokens).logits
    return logits.reshape(len(texts), SIZE, SIZE).sigmoid()


def judge(model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, scene: Scene, seed: int) -> Iterator[Judged]:
    """Score every prompt of a scene.

    Args:
        model: the network in evaluation mode.
        tokenizer: its tokenizer.
        scene: a drawn scene with at least one thing.
        seed: seed of the prompts.
    """
    prompts = seeded_prompts(scene.things, FAMILIES, seed)
    index = torch.from_numpy(scene.index)
    wanted = prompt_masks(index[None], [prompts])[0] > 0
    found = predict(model, tokenizer, scene, [prompt.text for prompt in prompts]) > 0.5
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
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=TEST_SEED, help="seed of the first scene")
    parser.add_argument("--json", type=Path, help="also write the table to this file")
    args = parser.parse_args(arguments)
    model = CLIPSegForImageSegmentation.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(args.model)
    judged: list[Judged] = []
    for seed in tqdm(range(args.seed, args.seed + args.scenes), "scenes", mininterval=2):
        scene = draw_scene(seed, SIZE)
        if scene.things:
            judged += judge(model, tokenizer, scene, seed)
    table = summary(judged)
    print(f"{args.scenes} held-out scenes, seeds {args.seed}..{args.seed + args.scenes - 1}, {SIZE} px")
    print(f"{'family':<20}{'prompts':>8}{'right':>8}{'other':>8}{'worst other':>13}")
    for name, row in table.items():
        print(f"{name:<20}{row['prompts']:>8.0f}{row['right']:>8.3f}{row['wrong']:>8.3f}{row['wrong_worst']:>13.3f}")
    if args.json:
        args.json.write_text(json.dumps({"scenes": args.scenes, "seed": args.seed, "scores": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
