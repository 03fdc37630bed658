# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``predict``: masks, images and areas for one image or a folder."""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import Any

from monai_vlsm.commands.modules import add_base
from monai_vlsm.errors import UserError

__all__ = ["PredictOptionError", "add"]


METHODS = ("single", "prompts", "flips", "dropout")  # as in monai_vlsm.uncertainty, whose import takes seconds


class PredictOptionError(UserError, ValueError):
    """Options that do not go together."""


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser(
        "predict",
        help="masks, images and areas for an image or a folder",
        description="Segment what prompts name. Writes masks, overlays/NAME.png and areas.csv.",
    )
    parser.add_argument(
        "images",
        type=Path,
        metavar="IMAGE_OR_FOLDER",
        help="images, DICOM, NIfTI (FILE::channel=N for one volume of a 4D file), NRRD or MHA; a DICOM series",
    )
    parser.add_argument("--prompt", nargs="+", required=True, metavar="TEXT", help="what to segment; one or several")
    parser.add_argument("--adapters", type=Path, required=True, metavar="FILE", help="a model.pt that was trained")
    parser.add_argument("--output", type=Path, default=Path("predictions"), metavar="DIR", help="default: predictions")
    add_base(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:1; default: the GPU if there is one")
    parser.add_argument(
        "--amp-dtype", choices=("float16", "bfloat16"), help="type of 16 bits on a GPU; default: that of the model"
    )
    parser.add_argument(
        "--window",
        nargs="+",
        metavar="WINDOW",
        help="values that become black and white, for images other than 8-bit: LOW HIGH, the name of a window of CT "
        "(abdomen, lung, ...), mr (percentiles), or three of these, numbers as [LOW,HIGH]; default: that of the model, "
        "of the file, or the range of each image or volume",
    )
    parser.add_argument(
        "--channel", metavar="N", help="which volume of files of several, from 0; default: that of the model"
    )
    parser.add_argument(
        "--threshold", type=_share, default=0.5, metavar="P", help="lowest probability of a pixel; default: 0.5"
    )
    parser.add_argument(
        "--existence-threshold",
        type=_share,
        metavar="P",
        help="masks with a lower existence score are emptied; default: that of the file",
    )
    parser.add_argument(
        "--uncertainty",
        choices=METHODS,
        help="also write maps of entropy and a number for each mask, from several predictions: with all prompts, which "
        "then name one thing; with flips; with dropout; or from the one there is",
    )
    parser.add_argument("--draws", type=_draws, default=10, metavar="N", help="predictions with dropout; default: 10")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of these predictions; default: 0")
    parser.add_argument(
        "--overlays", type=_overlays, default="all", metavar="all|none|N", help="images to write; default: all"
    )
    parser.set_defaults(run=_run)


def _overlays(text: str) -> int | str:
    if text in ("all", "none") or text.isdecimal():
        return int(text) if text.isdecimal() else text
    raise argparse.ArgumentTypeError(f"must be all, none or a number, got {text!r}")


def _draws(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"must be a whole number from 2, got {text!r}")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text!r}")
    return value


def _window(words: list[str] | None) -> Any:
    """What ``--window`` says: a name, two numbers, or three windows."""
    from monai_vlsm.data.volumes import WindowError, plain_window

    if words is None:
        return None
    values = [_value(word) for word in words]
    try:
        return plain_window(values[0] if len(values) == 1 else values)
    except WindowError as error:
        raise PredictOptionError(f"--window: {error}") from None


def _value(word: str) -> Any:
    """A number or a list as such, and any other word as it is."""
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def _run(args: argparse.Namespace) -> int:
    from monai_vlsm.outputs import PREDICTIONS, Outputs
    from monai_vlsm.serving import Segmenter, Worklist, find_records, predict_records
    from monai_vlsm.serving.folder import TABLE, overlay_file
    from monai_vlsm.serving.records import require_output
    from monai_vlsm.serving.uncertain import uncertainty_files

    window = _window(args.window)
    records, outputs = find_records(args.images, args.prompt), Outputs(args.output, PREDICTIONS)
    maps = [file for record in records if args.uncertainty for file in uncertainty_files(record, args.uncertainty)]
    overlays = [overlay_file(record["name"]) for record in records]
    require_output(outputs, records, [TABLE, *overlays, *maps], "--output")
    segment = Segmenter(
        args.adapters,
        backbone=args.backbone,
        device=args.device,
        amp_dtype=args.amp_dtype,
        window=window,
        threshold=args.threshold,
        existence_threshold=args.existence_threshold,
        channel=args.channel,
        uncertainty=args.uncertainty,
        draws=args.draws,
        seed=args.seed,
    )
    if segment.doubter is not None:
        segment.doubter.require(args.prompt)
    print(predict_records(segment, Worklist.check(records, segment.channel), outputs, args.overlays))
    return 0
