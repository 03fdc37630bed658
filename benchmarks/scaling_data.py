# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Seconds that lists, checks, scores and reports take, against the number of records, and how fast they grow.

Records are made up in a temporary folder: small PNG files with their masks, one structure each. The last column is the
exponent of the growth between the smallest and the largest number: 1 means that twice the records take twice the time::

    python benchmarks/scaling_data.py
    python benchmarks/scaling_data.py --records 100 300
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from monai_vlsm.data import absent_probability, check_records, load_datalist, with_absent_prompts
from monai_vlsm.data.audit import audit_dataset
from monai_vlsm.handlers.scores import image_rows, score_summary
from monai_vlsm.io import write_rows
from monai_vlsm.names import OverlayNames
from monai_vlsm.report import write_report

RESULTS = Path(__file__).parent / "results"
SIZE = 24  # pixels; the time per file is that of opening it
METRICS = ("val_dice", "val_iou", "val_hd95")
STRUCTURES = ("polyp", "ulcer", "tumor")


def write_dataset(folder: Path, count: int) -> Path:
    """``train.json`` with ``count`` records, and their files."""
    generator, entries = np.random.default_rng(0), []
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for index in tqdm(range(count), f"writing {count} records", file=sys.stderr, leave=False):
        pixels = generator.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[4 : 8 + index % 12, 4:16] = 255
        Image.fromarray(pixels).save(folder / f"images/{index}.png")
        Image.fromarray(mask).save(folder / f"masks/{index}.png")
        prompt = {"p1": STRUCTURES[index % len(STRUCTURES)], "p2": f"structure number {index}"}
        entries.append({"image": f"images/{index}.png", "mask": f"masks/{index}.png", "prompt": prompt})
    (folder / "train.json").write_text(json.dumps(entries))
    return folder


def write_scores(folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """Rows and means of one evaluation, as ``ScoreWriter`` makes them."""
    generator, rows = np.random.default_rng(1), []
    output = {"label": torch.ones(1, 8, 8), "pred": torch.ones(1, 8, 8)}
    for record in records:
        item = {"name": record["name"], "dataset": "made up", "prompt": record["prompt"]["p1"], "prompt_style": "p1"}
        scores = dict(zip(METRICS, generator.random(3).round(6).tolist(), strict=True))
        rows += [{**row, **scores} for row in image_rows(item, output)]
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "metrics.csv", list(rows[0]), rows)
    (folder / "metrics.json").write_text(json.dumps(score_summary(rows, METRICS)))


def name_overlays(folder: Path, count: int) -> None:
    """File names of overlays of images that all have one name."""
    names = OverlayNames()
    for _ in range(count):
        names.stem("image", "p1")


def parts(count: int, folder: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What is timed; later parts use what earlier ones return or write."""
    write_dataset(folder, count)
    records = load_datalist(folder, "train", check=False)
    yield "list of records", lambda: load_datalist(folder, "train", check=False)
    yield "check of all files", lambda: check_records(records)
    yield "data check command", lambda: audit_dataset(folder)
    yield "absent prompts", lambda: absent_probability(with_absent_prompts(records, 0.25), 0.25)
    yield "rows and means of scores", lambda: write_scores(folder / "eval", records)
    yield "report", lambda: write_report([folder / "eval"], folder / "report")
    yield "names of overlays", lambda: name_overlays(folder / "overlays", count)


def measure(count: int) -> dict[str, float]:
    """Seconds of each part for ``count`` records."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, work in parts(count, Path(folder) / "data"):
            start = time.perf_counter()
            work()
            seconds[name] = time.perf_counter() - start
    return seconds


def exponent(seconds: Sequence[float], counts: Sequence[int]) -> float:
    """Slope between the first and the last point, both axes logarithmic."""
    return math.log(seconds[-1] / seconds[0]) / math.log(counts[-1] / counts[0])


def main() -> None:
    """Measure, print a table, write a JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[1000, 3000, 10000], help="at least two numbers")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON")
    arguments = parser.parse_args()
    counts = sorted(set(arguments.records))
    if len(counts) < 2:
        parser.error("--records needs two different numbers, else there is no growth to see")
    measure(10)  # imports and first calls
    found = [measure(count) for count in counts]
    table = {
        name: {
            "seconds": [round(one[name], 4) for one in found],
            "exponent": round(exponent([one[name] for one in found], counts), 2),
        }
        for name in found[0]
    }
    print(f"{'':26}" + "".join(f"{count:>10,}" for count in counts) + f"{'exponent':>10}")
    for name, row in table.items():
        print(f"{name:26}" + "".join(f"{value:10.3f}" for value in row["seconds"]) + f"{row['exponent']:10.2f}")
    conditions = {"python": platform.python_version(), "torch": torch.__version__, "machine": platform.machine()}
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"scaling_data--{counts[0]}-{counts[-1]}--torch{torch.__version__.split('+')[0]}.json"
    path.write_text(json.dumps({"records": counts, "parts": table, **conditions}, indent=4) + "\n")


if __name__ == "__main__":
    main()
