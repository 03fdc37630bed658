# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Do the neighbours of a slice help? The same training without them, with them as channels, and with slice attention.

    python tools/compare_context.py --dataset_dir Task09_Spleen --output /tmp/context --epochs 20

Trains the bundle ``vlsm_dense`` three times with equal settings and seed, evaluates each on the validation volumes, and
prints for each the mean Dice of the slices that show a structure, what it gains over single slices in the same slices,
and the mean Dice of whole volumes. In brackets are 95 % bootstrap intervals over patients; over slices where there is
one patient, and then they say nothing about other patients. The table is also written to ``OUTPUT/table.md``.

All further options go to the bundle: ``--backbone clipseg-mini --batch_size 8 --planes coronal``. Run it again after an
interruption: what is finished is kept, and a training goes on after its last epoch.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_vlsm.io import write_text
from monai_vlsm.statistics import Run, read_run
from monai_vlsm.statistics.bootstrap import estimates
from monai_vlsm.statistics.words import decimals
from monai_vlsm.tables import markdown_table

CONFIGS = Path(__file__).parents[1] / "bundles" / "vlsm_dense" / "configs"
HEADER = ("slices", "Dice of a slice", "gain over single slices", "Dice of a volume")
KEYS = ("dataset", "name", "style")


def variants(context: int) -> dict[str, list[str]]:
    """What is compared: name to the settings that differ."""
    return {
        "single": ["--context", "0"],
        f"{context} on either side as channels": ["--context", str(context)],
        f"{context} on either side, attention": ["--context", str(context), "--slice_attention", "True"],
    }


def run_bundle(configs: Sequence[str], options: Sequence[str]) -> None:
    """Run configs of the bundle in a process of its own; ends the program where that fails."""
    files = str([str(CONFIGS / name) for name in configs])
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", files, *options]
    if subprocess.run(command).returncode:
        sys.exit(f"this failed: {' '.join(command)}")


def train_and_evaluate(folder: Path, options: Sequence[str], epochs: int) -> Run:
    """Train, or go on, or do nothing where it is done; then evaluate, and read what that found."""
    last, evaluation = folder / "last.pt", folder / "evaluation"
    options = [*options, "--ckpt_dir", str(folder / "models")]
    if not (last.is_file() and torch.load(last, weights_only=True)["finished"]):
        more = ["--epochs", str(epochs), "--early_stop", str(epochs), "--resume", str(last.is_file())]
        run_bundle(["train.json"], [*options, "--output_dir", str(folder), *more])
    if not (evaluation / "metrics.csv").is_file():
        run_bundle(["train.json", "evaluate.json"], [*options, "--output_dir", str(evaluation), "--overlays", "none"])
    return read_run(evaluation)


def interval(values: np.ndarray, units: np.ndarray) -> str:
    """Mean and interval."""
    (found,) = estimates(values[:, None], units)
    if found.low is None or len(values) < 2:
        return decimals(found.mean)
    return f"{decimals(found.mean)} ({decimals(found.low)} to {decimals(found.high)})"


def table(runs: dict[str, Run]) -> list[tuple[str, ...]]:
    """A line for each run; the first is what the others are compared with."""
    first = next(iter(runs.values()))
    rows: list[tuple[str, ...]] = []
    for name, run in runs.items():
        there, units, own = _present(run)
        gain = there - _in_order(first, own)
        volumes = run.volumes or {"dice": np.array([]), "truth_voxels": np.array([])}
        known = volumes["dice"][volumes["truth_voxels"] > 0]
        volume = decimals(float(known.mean())) if len(known) else "-"
        rows.append((name, interval(there, units), "-" if run is first else interval(gain, units), volume))
    return rows


def _present(run: Run) -> tuple[np.ndarray, np.ndarray, list[tuple[Any, ...]]]:
    """Dice of the masks that are there, what is drawn for their intervals, and which they are."""
    scores, there = run.scores, run.scores["truth_empty"] == 0
    patients = len(set(scores["unit"])) > 1
    units = scores["unit"] if patients else scores["image_id"]
    keys = list(zip(*(scores[name][there] for name in KEYS), strict=True))
    return scores["val_dice"][there], units[there], keys


def _in_order(run: Run, keys: Sequence[tuple[Any, ...]]) -> np.ndarray:
    """Dice of a run for masks in a given order."""
    dice, _, own = _present(run)
    found = dict(zip(own, dice, strict=True))
    return np.array([found[key] for key in keys])


def main() -> None:
    """Compare, print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset_dir", type=Path, required=True, help="a folder of volumes with lists")
    parser.add_argument("--output", type=Path, required=True, help="folder of the runs and the table")
    parser.add_argument("--epochs", type=int, default=20, help="of each training; default: 20")
    parser.add_argument("--context", type=int, choices=(1, 2), default=1, help="neighbours on either side; default: 1")
    arguments, more = parser.parse_known_args()
    shared = ["--dataset_dir", str(arguments.dataset_dir.resolve()), *more]
    runs: dict[str, Run] = {}
    for number, (name, own) in enumerate(variants(arguments.context).items()):
        folder = arguments.output.resolve() / ("single", "channels", "attention")[number]
        runs[name] = train_and_evaluate(folder, [*shared, *own], arguments.epochs)
    text = markdown_table(HEADER, table(runs), str)
    write_text(arguments.output / "table.md", f"{text}\n")
    print(text)


if __name__ == "__main__":
    main()
