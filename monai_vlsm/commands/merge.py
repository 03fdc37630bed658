# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm merge``: a trained model and its base as one plain checkpoint of transformers."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_vlsm.commands.modules import add_base

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser(
        "merge",
        help="a model.pt with LoRA, SSF or BitFit as a plain checkpoint of transformers",
        description="Make what was trained a part of the weights, and write base and adapters as one folder that "
        "CLIPSegForImageSegmentation.from_pretrained loads. Works for what changes weights: LoRA, DoRA, SSF, BitFit, a "
        "trained decoder, all of CLIPSeg, and combinations of these.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL_PT", help="a model.pt that training wrote")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new or empty folder")
    add_base(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from monai_vlsm.export import save_merged
    from monai_vlsm.export.check import LIMIT
    from monai_vlsm.networks import load_network

    network = load_network(args.model, args.backbone)
    difference = save_merged(network, args.output)
    print(
        f"compared with the network with adapters on random images: logits differ by at most {difference:.1e} "
        f"(allowed: {LIMIT:.0e})"
    )
    print(
        f"done: {args.output}. Not in it, because transformers has no place for them: image size {network.image_size} "
        f"px, default prompt {network.default_prompt!r}, existence threshold {network.existence_threshold:g}, "
        f"temperature {network.temperature:g}"
    )
    return 0
