# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Train clipseg-mini from scratch on drawn scenes and write it in Hugging Face layout.

``python tools/pretrain_mini.py --output DIR [--work DIR] [--minutes N | --steps N] [--resume]``

Scenes are drawn once into ``--work`` and then read from there. A checkpoint (``state.pt``) is written there every three
minutes and ``--resume`` goes on from it; ``log.jsonl`` gets a line with the loss and held-out scores every minute.

``--image-tower FOLDER`` takes a pretrained image encoder instead, which stays as it is, and trains a text encoder and a
decoder on it (docs/clipseg_mini.md). FOLDER holds a vision transformer in the layout of DINOv2 as one ONNX file.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from mini_around import AroundTrainer
from mini_export import MINI_NOTES, export
from mini_network import SIZE
from mini_trainer import Trainer

from monai_vlsm.errors import UserError


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the finished model")
    parser.add_argument("--work", type=Path, default=Path("mini_work"), help="scenes (4.2 GB), checkpoint and log")
    parser.add_argument("--minutes", type=float, default=56, help="length of the training, scoring included")
    parser.add_argument("--steps", type=int, default=0, help="length in steps instead: the same on every machine")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --work")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=6e-4)
    parser.add_argument("--clip", type=float, default=0.5, help="largest norm of the gradient")
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--batch", type=int, default=32, help="scenes in a step")
    parser.add_argument("--prompts", type=int, default=4, help="prompts for each scene of a step")
    parser.add_argument("--chunk", type=int, default=10000, help="scenes in a file")
    parser.add_argument("--chunks", type=int, default=4, help="files of scenes")
    parser.add_argument("--held-out", type=int, default=256, help="scenes scored during the training")
    parser.add_argument("--small", type=int, default=128, help="edge of the images at first")
    parser.add_argument("--switch", type=float, default=0.8, help=f"share at which the edge becomes {SIZE}")
    parser.add_argument("--score-every", type=float, default=60, help="seconds between two scores")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--image-tower", type=Path, help="folder with the ONNX file of a pretrained image encoder")
    parser.add_argument("--edge", type=int, default=140, help="edge of the images with --image-tower")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    args = _arguments(arguments)
    torch.set_num_threads(args.threads)
    try:
        trainer = AroundTrainer(args) if args.image_tower else Trainer(args)
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    trainer.run()
    notes = trainer.encoder.notes if isinstance(trainer, AroundTrainer) else MINI_NOTES
    size = export(trainer.model.eval(), args.work / "tokenizer", args.output, notes)
    print(f"{args.output}: {size} bytes after {trainer.step} steps, {trainer.seconds() / 60:.1f} minutes")


if __name__ == "__main__":
    main()
