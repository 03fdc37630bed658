# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Does training help, and does the text decide? Three evaluations of a model trained on the embedded sample.

Run it after the first command of the README::

    python tools/sample_scores.py                       # of bundles/vlsm_dense
    python tools/sample_scores.py --bundle unet         # of another bundle that was trained on the sample

It prints the validation Dice of each structure (1) with its own prompt, (2) before training, and (3) with the prompt of
each other structure of the same image, and the three numbers that are promised of the sample: a mean Dice of at least
0.75, at least 0.30 above the start, and at least 0.30 lost with another structure's prompt. It exits with 1 when one
of them does not hold.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from monai.bundle import ConfigParser, ConfigWorkflow

from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.data import load_datalist
from monai_vlsm.io import read_rows
from monai_vlsm.samples import sample_dir

BUNDLES = Path(__file__).parents[1] / "bundles"
Scores = dict[str, list[float]]


def evaluate(bundle: Path, records: list[dict[str, Any]], model_file: Path) -> list[float]:
    """Run a bundle's evaluation.

    Args:
        bundle: its folder.
        records: validation records.
        model_file: what was trained.

    Returns:
        The Dice of each record.
    """
    with tempfile.TemporaryDirectory() as folder:
        override: dict[str, Any] = {"bundle_root": str(bundle), "output_dir": folder, "model_file": str(model_file)}
        override["validate#dataset#data"] = records
        configs = [str(bundle / "configs" / name) for name in ("train.json", "evaluate.json")]
        workflow = ConfigWorkflow(configs, workflow_type="train", logging_file=False, **override)
        workflow.initialize()
        workflow.run()
        return [float(row["val_dice"]) for row in read_rows(Path(folder, "metrics.csv"))]


def structure(record: dict[str, Any]) -> str:
    """The class prompt of a record, which names its structure."""
    return str(record["prompt"]["p1"])


def with_other_prompts(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each record once with the prompt of each other structure of its image; the masks stay."""
    of_image: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        of_image[record["image"]].append(record)
    return [
        {**record, "prompt": other["prompt"], "name": f"{record['name']} as {structure(other)}"}
        for record in records
        for other in of_image[record["image"]]
        if other is not record
    ]


def untrained(bundle: Path, path: Path, seed: int) -> None:
    """Write what the bundle's network starts training with on the sample."""
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "train.json")
    torch.manual_seed(seed)
    torch.save(TrainedState(parser.get_parsed_content("network_def")).state_dict(), path)


def by_structure(records: list[dict[str, Any]], values: list[float], truth: dict[str, str]) -> Scores:
    """Group values by the structure whose mask was scored; ``truth`` maps mask files to structures."""
    groups: Scores = defaultdict(list)
    for record, value in zip(records, values, strict=True):
        groups[truth[record["label"]]].append(value)
    return groups


def report(trained: Scores, before: Scores, wrong: Scores) -> bool:
    """Print the table and the verdicts; True when all three hold."""
    print(f"\n{'structure':20}{'masks':>6}{'trained':>10}{'before':>10}{'other prompt':>14}")
    for name in trained:
        columns = fmean(trained[name]), fmean(before[name]), fmean(wrong[name])
        print(f"{name:20}{len(trained[name]):6}{columns[0]:10.3f}{columns[1]:10.3f}{columns[2]:14.3f}")
    means = [fmean(fmean(values) for values in scores.values()) for scores in (trained, before, wrong)]
    print(f"{'mean of structures':26}{means[0]:10.3f}{means[1]:10.3f}{means[2]:14.3f}\n")
    verdicts = [
        ("Dice of the trained model", means[0], 0.75),
        ("gain over the start", means[0] - means[1], 0.30),
        ("loss with another structure's prompt", means[0] - means[2], 0.30),
    ]
    for name, value, least in verdicts:
        print(f"{'holds' if value >= least else 'FAILS'}  {name}: {value:.3f} (at least {least:.2f})")
    return all(value >= least for _, value, least in verdicts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="vlsm_dense", help="folder below bundles")
    parser.add_argument("--model-file", type=Path, help="default: models/model.pt of the bundle")
    parser.add_argument("--seed", type=int, default=41, help="seed of the training, for the weights at its start")
    arguments = parser.parse_args()
    bundle = BUNDLES / arguments.bundle
    model_file = arguments.model_file or bundle / "models" / "model.pt"
    if not model_file.is_file():
        raise SystemExit(f"no model at {model_file}; train the bundle on the sample first")
    records = load_datalist(sample_dir(), "val")
    truth = {record["label"]: structure(record) for record in records}
    others = with_other_prompts(records)
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder, "model.pt")
        untrained(bundle, start, arguments.seed)
        before = by_structure(records, evaluate(bundle, records, start), truth)
    trained = by_structure(records, evaluate(bundle, records, model_file), truth)
    wrong = by_structure(others, evaluate(bundle, others, model_file), truth)
    raise SystemExit(0 if report(trained, before, wrong) else 1)


if __name__ == "__main__":
    main()
