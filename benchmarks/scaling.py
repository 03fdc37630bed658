# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Time and memory against batch size, prompts per image, image size, and the number of images kept in memory.

Each point is measured in a process of its own. A training step of dense VL for the first three; for the last, reading
and resizing images for the cache. The last column is the exponent of the growth between the smallest and the largest
point: 1 means that twice the work takes twice the time. Prints tables and writes one JSON file::

    python benchmarks/scaling.py
    python benchmarks/scaling.py --axes batch --repeats 3

``scaling_data.py`` does the same for lists, checks, scores and reports.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bundle import image_folder, read_config
from cases_network import our_step
from conditions import Conditions, machine
from measure import Side, peak_memory, time_once
from speed import RESULTS
from tqdm import tqdm

from monai_vlsm.backbones import MINI
from monai_vlsm.precision import cpu_has_bf16

AXES = {"batch": (1, 2, 4, 8), "prompts": (1, 2, 4, 8), "size": (224, 352, 480), "images": (50, 100, 200)}
QUICK = {"batch": (1, 2), "prompts": (1, 2), "size": (64, 96), "images": (4, 8)}
UNITS = {"batch": "images", "prompts": "prompts of an image", "size": "pixels a side", "images": "images kept"}
WORK = {"batch": 1, "prompts": 1, "size": 2, "images": 1}  # power of the axis that the work grows with


def at_point(axis: str, value: int, conditions: Conditions) -> Callable[[], Side]:
    """Builds what is measured for a value of an axis."""
    if axis == "images":
        return lambda: kept_images(value, conditions)
    if axis == "prompts":
        return lambda: our_step("dense_vl", prompts=value)(conditions)
    changed = replace(conditions, batch=value) if axis == "batch" else replace(conditions, size=value)
    return lambda: our_step("dense_vl")(changed)


def kept_images(images: int, conditions: Conditions) -> Side:
    """Prepares all images of a dataset for the cache in memory."""
    width, height = (80, 60) if conditions.quick else (640, 480)
    folder = image_folder(images, 1, width, height)
    kept: list[Any] = []

    def run() -> None:
        kept.clear()
        settings = {"dataset_dir": str(folder), "backbone": MINI, "image_size": 352, "num_workers": 0}
        kept.append(read_config("vlsm_dense", cache="memory", **settings).get_parsed_content("train#dataset"))

    return Side(run, items=images)


def measure_point(axis: str, value: int, conditions: Conditions, repeats: int) -> dict[str, Any]:
    """Median seconds and peak memory; in a fresh process only."""
    sides: list[Side] = []

    def build() -> Side:
        sides.append(at_point(axis, value, conditions)())
        return sides[0]

    peak = peak_memory(build, conditions.device)
    seconds = [time_once(sides[0], conditions.device) for _ in range(repeats)]
    return {"value": value, "seconds": round(statistics.median(seconds), 4), "peak_memory_gib": peak}


def exponent(points: Sequence[dict[str, Any]], quantity: str) -> float:
    """Slope of a quantity between the first and the last point, both axes logarithmic."""
    first, last = points[0], points[-1]
    return round(math.log(last[quantity] / first[quantity]) / math.log(last["value"] / first["value"]), 2)


def markdown(axis: str, points: Sequence[dict[str, Any]]) -> str:
    """One table: a column for each value."""
    head = [UNITS[axis], *(str(point["value"]) for point in points), "exponent"]
    rows = [head, ["---"] * len(head)]
    for quantity, title in (("seconds", "seconds"), ("peak_memory_gib", "peak memory, GiB")):
        growth = exponent(points, quantity)
        rows.append([title, *(f"{point[quantity]:.3f}" for point in points), f"{growth:.2f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--axes", nargs="+", default=list(AXES), choices=list(AXES))
    made.add_argument("--repeats", type=int, default=3)
    made.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    made.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="the bundle's if not given")
    made.add_argument("--quick", action="store_true", help="the small network, to see that everything runs")
    made.add_argument("--output", type=Path, default=RESULTS)
    made.add_argument("--point", type=int, help="measure one value of one axis in this process and print it")
    return made


def main(argv: list[str] | None = None) -> int:
    """Measure all points of the axes."""
    given = parser().parse_args(argv)
    cuda = given.device == "cuda"
    precision = given.precision or ("fp16" if cuda else "bf16" if cpu_has_bf16() else "fp32")
    conditions = Conditions(2, given.device, precision, quick=given.quick)
    if given.point is not None:
        print(json.dumps(measure_point(given.axes[0], given.point, conditions, given.repeats)))
        return 0
    wanted = [(axis, value) for axis in given.axes for value in (QUICK if given.quick else AXES)[axis]]
    found: dict[str, list[dict[str, Any]]] = {axis: [] for axis in given.axes}
    for axis, value in tqdm(wanted, "points", file=sys.stderr, leave=False):
        found[axis].append(point_in_fresh_process(axis, value, precision, given))
    for axis, points in found.items():
        print(markdown(axis, points) + "\n")
    growth = {axis: exponent(points, "seconds") / WORK[axis] for axis, points in found.items()}
    result = {
        "scaling": found,
        "time_exponent_over_work": {axis: round(value, 2) for axis, value in growth.items()},
        "conditions": {"device": given.device, "precision": precision, "batch": 2, "quick": given.quick},
        "machine": machine(given.device),
    }
    given.output.mkdir(parents=True, exist_ok=True)
    name = f"{'quick--' if given.quick else ''}scaling--{'-'.join(found)}--{given.device}-{precision}.json"
    (given.output / name).write_text(json.dumps(result, indent=4) + "\n")
    return 0


def point_in_fresh_process(axis: str, value: int, precision: str, given: argparse.Namespace) -> dict[str, Any]:
    """What `measure_point` finds in a process that ran nothing before."""
    command = [sys.executable, str(Path(__file__).absolute()), "--axes", axis, "--point", str(value)]
    command += ["--precision", precision, "--device", given.device, "--repeats", str(given.repeats)]
    command += ["--quick"] if given.quick else []
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    point: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return point


if __name__ == "__main__":
    sys.exit(main())
