# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images for docs/clipseg_mini.md: held-out scenes with predictions, and the learning curve.

``python tools/mini_image.py [--model DIR] [--log LOG.jsonl] [--output docs/images]``
"""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from mini_data import TEST_SEED, prompt_masks, seeded_prompts
from mini_prompts import FAMILIES
from scenes import draw_scene
from score_mini import FOLDER, predict
from transformers import CLIPTokenizer

from monai_vlsm.networks import load_base
from monai_vlsm.networks.clipseg_base import CLIPSegBase

__all__ = ["draw_curve", "draw_scenes"]

_COLUMNS = 3


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_scenes(model: CLIPSegBase, tokenizer: CLIPTokenizer, seeds: Sequence[int], path: Path) -> None:
    """One row per scene: the image, then for each prompt the prediction in red and the truth as a white line.

    The scenes are the first of the test seeds in order, not chosen by their scores.

    Args:
        model: the network in evaluation mode.
        tokenizer: its tokenizer.
        seeds: seeds of the scenes.
        path: PNG file to write.
    """
    figure, grid = plt.subplots(len(seeds) // 2, 2 * (_COLUMNS + 1), figsize=(15.5, 2.2 * (len(seeds) // 2)), dpi=80)
    for place, seed in enumerate(seeds):
        row = grid[place // 2, (place % 2) * (_COLUMNS + 1) :]
        scene = draw_scene(seed)
        prompts = seeded_prompts(scene.things, FAMILIES, seed, _COLUMNS)
        wanted = prompt_masks(torch.from_numpy(scene.index)[None], [prompts])[0]
        found = predict(model, tokenizer, scene, [prompt.text for prompt in prompts])
        row[0].imshow(scene.image)
        row[0].set_title("scene", fontsize=8, color="0.4")
        for axes, prompt, mask, chance in zip(row[1:], prompts, wanted, found, strict=False):
            axes.imshow(scene.image.mean(-1), cmap="gray", vmin=-80, vmax=300)
            axes.imshow(torch.where(chance > 0.5, 1.0, float("nan")), cmap="autumn", vmin=1, vmax=2, alpha=0.6)
            axes.contour(mask, [0.5], colors="white", linewidths=1.4)
            axes.contour(mask, [0.5], colors="black", linewidths=0.5)
            axes.set_title("\n".join(textwrap.wrap(prompt.text, 29)), fontsize=7.5)
        for axes in row[: _COLUMNS + 1]:
            _bare(axes)
    figure.tight_layout(pad=0.5)
    figure.savefig(path)
    plt.close(figure)


def draw_curve(log: Path, path: Path) -> None:
    """IoU of the held-out scenes over the training, with the right mask and with another one.

    Args:
        log: the ``log.jsonl`` that the training wrote.
        path: PNG file to write.
    """
    rows = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    minutes = [row["minutes"] for row in rows]
    figure, axes = plt.subplots(figsize=(7, 3.4), dpi=90)
    axes.plot(minutes, [row["right"] for row in rows], label="IoU with the right mask", color="tab:blue")
    axes.plot(minutes, [row["wrong"] for row in rows], label="IoU with another mask", color="tab:red")
    axes.plot(minutes, [row["loss"] for row in rows], label="training loss", color="0.7", linewidth=1)
    axes.set_xlabel("minutes of training")
    axes.set_ylim(0, 1)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    mpl.use("Agg")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=FOLDER, help="folder in Hugging Face layout")
    parser.add_argument("--log", type=Path, help="log.jsonl of a training; without it no curve is drawn")
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    parser.add_argument("--scenes", type=int, default=16)
    args = parser.parse_args(arguments)
    args.output.mkdir(parents=True, exist_ok=True)
    if args.log:
        draw_curve(args.log, args.output / "clipseg_mini_curve.png")
    model = load_base(args.model)
    tokenizer = CLIPTokenizer.from_pretrained(args.model)
    seeds = [seed for seed in range(TEST_SEED, TEST_SEED + 10 * args.scenes) if draw_scene(seed).things][: args.scenes]
    draw_scenes(model, tokenizer, seeds, args.output / "clipseg_mini_scenes.png")


if __name__ == "__main__":
    main()
