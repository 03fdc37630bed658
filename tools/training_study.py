# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What does each switch of ``best.json`` do? The same training with one of them at a time, and with all.

    python tools/training_study.py --output /tmp/training                     # the embedded sample
    python tools/training_study.py --output /tmp/busi --dataset-dir BUSI --split test --epochs 12 --systems plain absent

A system is ``plain`` (``train.json`` alone), ``off`` (``best.json`` with all switches off), a switch on top of that, or
``best``. For each it prints, as means over the seeds: the Dice of structures that are there with a bootstrap interval
over images, how many of their masks are empty, how many questions for something absent got a mask, before and after the
existence threshold that training set, how well the existence score tells present from absent (area under the ROC
curve), and the seconds of an epoch. Absent things are structures of the list that an image lacks, words that the
training with absent prompts has seen, and words that it has not. The table is also written to ``OUTPUT/table.md``.

Run it again after an interruption: finished parts are kept, and a training goes on after its last epoch. ``--limit 24``
takes 24 records of each list, to try it out.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigWorkflow
from scipy.stats import mannwhitneyu

from monai_vlsm.checkpoints import read_settings
from monai_vlsm.data import load_datalist
from monai_vlsm.evaluations import own_files
from monai_vlsm.io import read_rows, write_json
from monai_vlsm.prompts import EVERYDAY
from monai_vlsm.samples import sample_dir
from monai_vlsm.studies.folder import read_json
from monai_vlsm.tables import markdown_table

BUNDLES = Path(__file__).parents[1] / "bundles"
OFF: dict[str, Any] = {"augment": False, "schedule": "plateau", "ema": 0.0, "contrastive": 0.0, "negatives": 0.0}
SYSTEMS: dict[str, Sequence[str] | None] = {  # which switches are on
    "plain": None,
    "off": (),
    "absent": ("negatives",),
    "augment": ("augment",),
    "cosine": ("schedule",),
    "ema": ("ema",),
    "contrast": ("contrastive",),
    "best": tuple(OFF),
}
SEEN = EVERYDAY[::6]
UNSEEN = ("liver", "pancreas", "tumor", "left kidney", "spleen", "bladder")
RESAMPLES = 2000
HEADER = (
    "system",
    "Dice, present (95 % interval)",
    "present, but empty mask",
    "absent, but a mask",
    "of structures",
    "of words seen",
    "of other words",
    "threshold",
    "Dice with it",
    "absent, but a mask with it",
    "AUC of existence",
    "seconds per epoch",
)
Rows = list[dict[str, str]]


def run_bundle(bundle: str, configs: Sequence[str], **override: Any) -> None:
    """Run configs of a bundle."""
    files = [str(BUNDLES / bundle / "configs" / f"{name}.json") for name in configs]
    root = str(BUNDLES / bundle)
    workflow = ConfigWorkflow(files, workflow_type="train", bundle_root=root, logging_file=False, **override)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def some(records: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """At most ``limit`` records, evenly spaced."""
    count = len(records) if limit is None else min(limit, len(records))
    return [records[round(index)] for index in np.linspace(0, len(records) - 1, count)]


def train(folder: Path, system: str, seed: int, arguments: argparse.Namespace) -> None:
    """Train, or go on, or do nothing when the training is finished."""
    last, on = folder / "last.pt", SYSTEMS[system]
    if last.is_file() and torch.load(last, weights_only=True)["finished"]:
        return
    switches = {} if on is None else {name: value for name, value in OFF.items() if name not in on}
    resume, start = last.is_file(), time.perf_counter()
    records: dict[str, Any] = {}
    if arguments.limit:
        for part, split in (("train", "train"), ("validate", "val")):
            found = load_datalist(arguments.dataset_dir, split, multi_prompt=on is not None, check=False)
            records[f"{part}#records"] = some(found, arguments.limit)
    run_bundle(
        arguments.bundle,
        ["train"] if on is None else ["train", "best"],
        **shared_settings(arguments, seed),
        **switches,
        **records,
        output_dir=str(folder),
        ckpt_dir=str(folder),
        epochs=arguments.epochs,
        val_interval=arguments.val_interval,
        resume=resume,
    )
    if not resume:
        write_json(folder / "seconds.json", {"seconds": (time.perf_counter() - start) / arguments.epochs})


def evaluate(model: Path, folder: Path, seed: int, arguments: argparse.Namespace) -> tuple[Rows, Rows]:
    """Scores and probes of a model, nothing emptied; from the files when they are there."""
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")
        records = some(load_datalist(arguments.dataset_dir, arguments.split, check=False), arguments.limit)
        run_bundle(
            arguments.bundle,
            ["train", "evaluate"],
            **shared_settings(arguments, seed),
            model_file=str(model),
            output_dir=str(part),
            val_split=arguments.split,
            absent_prompts=[*SEEN, *UNSEEN],
            existence_threshold=0.0,
            **{"validate#records": records},
        )
        part.rename(folder)
    files = own_files(folder)
    found = [list(read_rows(files[name])) if name in files else [] for name in ("metrics.csv", "probes.csv")]
    return found[0], [row for row in found[1] if row["probe"] == "absent"]


def shared_settings(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """What trainings and evaluations have in common."""
    place: dict[str, Any] = {"dataset_dir": str(arguments.dataset_dir), "num_workers": arguments.num_workers}
    place |= {"seed": seed, "overlays": "none"}
    return place | ({"backbone": arguments.backbone} if arguments.backbone else {})


def mean_and_interval(values: Sequence[float], images: Sequence[str], seed: int = 0) -> str:
    """Mean and percentile bootstrap 95 % interval over images, of which one may have several values."""
    groups: dict[str, list[float]] = defaultdict(list)
    for value, image in zip(values, images, strict=True):
        groups[image].append(value)
    sums, counts = (np.array([f(group) for group in groups.values()], dtype=float) for f in (sum, len))
    draws = np.random.default_rng(seed).integers(len(sums), size=(RESAMPLES, len(sums)))
    low, high = np.percentile(sums[draws].sum(axis=1) / counts[draws].sum(axis=1), (2.5, 97.5))
    return f"{sums.sum() / counts.sum():.3f} ({low:.3f} to {high:.3f})"


def share(rows: Rows, threshold: float = 0.0) -> str:
    """How many questions got a mask."""
    answered = sum(int(row["pred_pixels"]) > 0 and float(row["existence"]) >= threshold for row in rows)
    return f"{answered} of {len(rows)} ({answered / len(rows):.0%})" if rows else "-"


def dice(rows: Rows, thresholds: Sequence[float]) -> list[float]:
    """Dice of what is there, whose mask is emptied below the threshold of its seed."""
    pairs = zip(rows, thresholds, strict=True)
    return [float(row["val_dice"]) * (float(row["existence"]) >= threshold) for row, threshold in pairs]


def table_row(system: str, arguments: argparse.Namespace, images: dict[str, str]) -> tuple[object, ...]:
    """One line of the table; `images` maps names of records to their images."""
    present: Rows = []
    absent: Rows = []
    emptied: Rows = []  # questions that got a mask in spite of the threshold of their seed
    limits: list[float] = []
    thresholds: list[float] = []
    for seed in arguments.seeds:
        folder = arguments.output / f"{system}_{seed}"
        scores, probes = evaluate(folder / "model.pt", folder / "evaluation", seed, arguments)
        own = [row for row in scores if int(row["truth_pixels"])]
        thresholds.append(read_settings(folder / "model.pt")["existence_threshold"])
        limits += [thresholds[-1]] * len(own)
        present, absent = present + own, absent + probes
        emptied += [row for row in probes if int(row["pred_pixels"]) and float(row["existence"]) >= thresholds[-1]]
    where = [images[row["name"]] for row in present]
    scores_of = [[float(row["existence"]) for row in rows] for rows in (present, absent)]
    area = mannwhitneyu(*scores_of).statistic / (len(present) * len(absent)) if absent else float("nan")
    seconds = [read_json(arguments.output / f"{system}_{seed}" / "seconds.json") for seed in arguments.seeds]
    kinds = [[row for row in absent if row["prompt"] in words] for words in (SEEN, UNSEEN)]
    others = [row for row in absent if row["prompt"] not in (*SEEN, *UNSEEN)]
    return (
        system,
        mean_and_interval(dice(present, [0.0] * len(present)), where),
        f"{sum(not int(row['pred_pixels']) for row in present)} of {len(present)}",
        share(absent),
        share(others),
        *map(share, kinds),
        ", ".join(f"{one:.2f}" for one in thresholds),
        mean_and_interval(dice(present, limits), where),
        f"{len(emptied)} of {len(absent)} ({len(emptied) / max(len(absent), 1):.0%})",
        f"{area:.3f}",
        f"{fmean(found):.1f}" if (found := [one["seconds"] for one in seconds if one]) else "-",
    )


def study(arguments: argparse.Namespace) -> str:
    """Run all that is not done yet, and make the table."""
    records = load_datalist(arguments.dataset_dir, arguments.split, check=False)
    images = {record["name"]: record["image"] for record in records}
    lines: list[tuple[object, ...]] = []
    for system in arguments.systems:
        for seed in arguments.seeds:
            train(arguments.output / f"{system}_{seed}", system, seed, arguments)
        lines.append(table_row(system, arguments, images))
        (arguments.output / "table.md").write_text(markdown_table(HEADER, lines) + "\n", encoding="utf-8")
    return markdown_table(HEADER, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for trainings, evaluations and the table")
    parser.add_argument("--dataset-dir", type=Path, default=sample_dir(), help="default: the embedded sample")
    parser.add_argument("--bundle", default="vlsm_dense", help="folder below bundles")
    parser.add_argument("--backbone", default="clipseg-mini", help="empty: that of the bundle")
    parser.add_argument("--split", default="val", help="list that is scored (the sample has no test list)")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[41, 42])
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--val-interval", type=int, default=1, help="as many as epochs: the last model, not the best")
    parser.add_argument("--num-workers", type=int, default=0)
    parser.add_argument("--limit", type=int, help="records of each list, to try it out")
    print(f"\n{study(parser.parse_args())}")


if __name__ == "__main__":
    main()
