# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Does training with absent prompts help? The same training without and with them, on the toy backbone.

    python tools/absent_study.py --output /tmp/absent_sample --epochs 40
    python tools/absent_study.py --output /tmp/absent_busi --dataset-dir BUSI --split test --epochs 12

For both it prints, before and after the existence threshold that was set on the validation set: the Dice of structures
that are there with a bootstrap interval over images, how many of their masks came out empty, how many prompts of absent
things got a mask, how much of the image those cover, and how well the existence score tells present from absent (area
under the ROC curve). Where training set no threshold, because none is better than none, there is one line. The table is
also written to ``OUTPUT/table.md``.

The sample takes about 12 minutes on two idle CPU cores, BUSI with 12 epochs about 15 (twice that on one).

Run it again after an interruption: finished parts are kept, and a training goes on after its last epoch. ``--limit 24``
takes 24 records of each list, to try it out.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigWorkflow

from monai_vlsm.checkpoints import read_settings
from monai_vlsm.data import load_datalist
from monai_vlsm.evaluations import own_files
from monai_vlsm.io import read_rows
from monai_vlsm.samples import is_sample, sample_dir
from monai_vlsm.tables import markdown_table

BUNDLE = Path(__file__).parents[1] / "bundles" / "vlsm_dense"
RESAMPLES = 2000
TRAIN_WORDS, TEST_WORDS = ("pancreas", "left ventricle"), ("liver", "tumor")  # in no image of the sample
HEADER = (
    "absent prompts in training",
    "existence threshold",
    "Dice, present (95 % interval)",
    "present, but empty mask",
    "absent, but a mask (95 % interval)",
    "image covered by such masks",
    "AUC of existence",
)
Rows = list[dict[str, str]]


def run_bundle(configs: Sequence[str], **override: Any) -> None:
    """Run configs of the bundle."""
    files = [str(BUNDLE / "configs" / name) for name in configs]
    workflow = ConfigWorkflow(files, workflow_type="train", bundle_root=str(BUNDLE), logging_file=False, **override)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def some(records: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """At most ``limit`` records, evenly spaced."""
    count = len(records) if limit is None else min(limit, len(records))
    return [records[round(index)] for index in np.linspace(0, len(records) - 1, count)]


def train(folder: Path, negatives: float, arguments: argparse.Namespace) -> None:
    """Train, or go on, or do nothing when the training is finished."""
    last = folder / "last.pt"
    if last.is_file() and torch.load(last, weights_only=True)["finished"]:
        return
    records = {split: load_datalist(arguments.dataset_dir, split, check=False) for split in ("train", "val")}
    run_bundle(
        ["train.json"],
        **shared_settings(arguments, arguments.train_words),
        output_dir=str(folder),
        ckpt_dir=str(folder),
        negatives=negatives,
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
        early_stop=arguments.epochs,
        resume=last.is_file(),
        **{
            "train#records": some(records["train"], arguments.limit),
            "validate#records": some(records["val"], arguments.limit),
        },
    )


def evaluate(model: Path, folder: Path, arguments: argparse.Namespace, **override: Any) -> tuple[Rows, Rows]:
    """Scores and probes of a model; from the files when they are there."""
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        records = some(load_datalist(arguments.dataset_dir, arguments.split, check=False), arguments.limit)
        words = [*arguments.train_words, *arguments.test_words]
        settings = shared_settings(arguments, words)
        more = {"model_file": str(model), "output_dir": str(part), "val_split": arguments.split, **override}
        run_bundle(["train.json", "evaluate.json"], **settings, **more, **{"validate#records": records})
        part.rename(folder)
    files = own_files(folder)
    return read(files["metrics.csv"]), read(files["probes.csv"])


def shared_settings(arguments: argparse.Namespace, words: Sequence[str]) -> dict[str, Any]:
    """What trainings and evaluations have in common."""
    return {
        "dataset_dir": str(arguments.dataset_dir),
        "backbone": "clipseg-mini",
        "num_workers": arguments.num_workers,
        "absent_prompts": list(words) or None,
    }


def read(path: Path) -> Rows:
    """All rows of a CSV, none if there is no such file."""
    return list(read_rows(path)) if path.is_file() else []


def mean_and_interval(values: Sequence[float], images: Sequence[str], seed: int = 0) -> tuple[float, float, float]:
    """Mean and percentile bootstrap 95 % interval over images, of which one may have several values."""
    groups: dict[str, list[float]] = defaultdict(list)
    for value, image in zip(values, images, strict=True):
        groups[image].append(value)
    if not groups:
        return (float("nan"),) * 3
    sums, counts = (np.array([f(group) for group in groups.values()], dtype=float) for f in (sum, len))
    draws = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    means = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return sums.sum() / counts.sum(), float(low), float(high)


def area_under_curve(present: Sequence[float], absent: Sequence[float]) -> float:
    """Share of pairs in which the present one has the higher score; equal ones count half."""
    if not present or not absent:
        return float("nan")
    difference = np.array(present)[:, None] - np.array(absent)[None]
    return float((difference > 0).mean() + (difference == 0).mean() / 2)


def table_row(label: str, threshold: str, scores: Rows, probes: Rows, images: dict[str, str]) -> tuple[object, ...]:
    """One line of the table; `images` maps names of records to their images."""
    present = [row for row in scores if int(row["truth_pixels"])]
    absent = [row for row in probes if row["probe"] == "absent"]
    dice = mean_and_interval([float(row["val_dice"]) for row in present], [images[row["name"]] for row in present])
    wrong = mean_and_interval(
        [float(int(row["pred_pixels"]) > 0) for row in absent], [images[row["name"]] for row in absent]
    )
    covered = [int(row["pred_pixels"]) / int(row["image_pixels"]) for row in absent if int(row["pred_pixels"])]
    lost = sum(not int(row["pred_pixels"]) for row in present)
    scores_of = [[float(row["existence"]) for row in rows] for rows in (present, absent)]
    return (
        label,
        threshold,
        f"{dice[0]:.3f} ({dice[1]:.3f} to {dice[2]:.3f})",
        f"{lost} of {len(present)}",
        f"{sum(int(row['pred_pixels']) > 0 for row in absent)} of {len(absent)} ({wrong[1]:.0%} to {wrong[2]:.0%})",
        f"{np.mean(covered):.1%}" if covered else "-",
        f"{area_under_curve(*scores_of):.3f}",
    )


def study(arguments: argparse.Namespace) -> str:
    """Run all that is not done yet, and make the table."""
    records = load_datalist(arguments.dataset_dir, arguments.split, check=False)
    images = {record["name"]: record["image"] for record in records}
    lines = []
    for negatives in (0.0, arguments.negatives):
        folder = arguments.output / f"negatives_{negatives:g}"
        train(folder, negatives, arguments)
        model = folder / "model.pt"
        threshold = read_settings(model)["existence_threshold"]
        plain = evaluate(model, folder / "without_threshold", arguments, existence_threshold=0.0)
        lines.append(table_row(f"{negatives:g}", "none", *plain, images))
        if threshold:
            kept = evaluate(model, folder / "with_threshold", arguments)
            lines.append(table_row(f"{negatives:g}", f"{threshold:.3f}", *kept, images))
    return markdown_table(HEADER, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for trainings, evaluations and the table")
    parser.add_argument("--dataset-dir", type=Path, default=sample_dir(), help="default: the embedded sample")
    parser.add_argument("--split", default="val", help="list that is scored (the sample has no test list)")
    parser.add_argument("--negatives", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--limit", type=int, help="records of each list, to try it out")
    parser.add_argument("--train-words", nargs="*", help="absent things in training; on the sample two organs")
    parser.add_argument("--test-words", nargs="*", help="further ones in the evaluation; on the sample two more")
    arguments = parser.parse_args()
    sample = is_sample(arguments.dataset_dir)
    arguments.train_words = (
        list(TRAIN_WORDS if sample else ()) if arguments.train_words is None else arguments.train_words
    )
    arguments.test_words = list(TEST_WORDS if sample else ()) if arguments.test_words is None else arguments.test_words
    table = study(arguments)
    (arguments.output / "table.md").write_text(table + "\n", encoding="utf-8")
    print(f"\n{table}")


if __name__ == "__main__":
    main()
