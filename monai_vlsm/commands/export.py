# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm export``: a trained model for programs that have neither this package nor a tokenizer."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_vlsm.commands.modules import add_base

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser(
        "export",
        help="a model.pt as ONNX or TorchScript, with its prompts as numbers",
        description="Write a trained model, base and adapters together, as one file for onnxruntime, TensorRT or "
        "libtorch, with its prompts as numbers beside it, and compare the file with PyTorch.",
    )
    parser.add_argument("model", type=Path, metavar="MODEL_PT", help="a model.pt that training wrote")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the files; none in it is overwritten"
    )
    parser.add_argument("--format", choices=("onnx", "torchscript"), default="onnx", help="default: onnx")
    parser.add_argument(
        "--form",
        choices=("embedding", "tokens"),
        default="embedding",
        help="what the file takes beside images: embeddings of prompts (default), or token ids",
    )
    parser.add_argument(
        "--prompts", nargs="+", metavar="TEXT", help="prompts to write beside the file; default: that of the model"
    )
    parser.add_argument("--names", nargs="+", metavar="NAME", help="a name for each prompt; default: its text")
    parser.add_argument("--opset", type=int, default=18, metavar="N", help="version of ONNX's operators; default: 18")
    parser.add_argument(
        "--merge",
        action="store_true",
        help="first make the adapters a part of the weights (LoRA, SSF): fewer operations",
    )
    add_base(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from monai_vlsm.export import export_network
    from monai_vlsm.export.check import BATCHES, LIMIT
    from monai_vlsm.networks import load_network, merged_network

    network = load_network(args.model, args.backbone)
    network = merged_network(network) if args.merge else network
    files = export_network(network, args.output, args.format, args.form, args.prompts, args.names, args.opset)
    print(
        f"compared with PyTorch on random images, {BATCHES[0]} and {BATCHES[1]} at a time: logits differ by at most "
        f"{files.difference:.1e} (allowed: {LIMIT:.0e})"
    )
    print(f"done: {', '.join(f'{file} ({file.stat().st_size / 1e6:.2f} MB)' for file in files[:3])}")
    return 0
