# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What studies cost: planning the paper, its tables, and a worker around the commands of the bundle.

    python benchmarks/studies.py plan                       216 runs planned, as a command
    python benchmarks/studies.py table --images 100         tables of 216 runs with made-up scores, as a command
    python benchmarks/studies.py worker --epochs 16         a run of the sample: the worker's time beside the bundle's

The datasets of the first two are made up and empty: lists without images.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_vlsm.outputs import file_digest
from monai_vlsm.studies import Study, StudyFolder, Worker, read_study, steps
from monai_vlsm.studies.commands import evaluation_folder
from monai_vlsm.studies.process import run_logged

ROOT = Path(__file__).parents[1]
COLUMNS = "name,dataset,structure,style,tag,prompt,truth_pixels,pred_pixels,truth_empty,pred_empty"


def make_data(place: Path, study: Study) -> None:
    """Lists without records for each dataset."""
    for name in study.datasets:
        for split in ("train", "val", "test"):
            file = place / name / "anns" / f"{split}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text('[{"prompts": {"p1": "polyp"}}]')


def make_result(folder: StudyFolder, index: int, images: int) -> None:
    """What a run leaves, with scores drawn at random in both kinds of prompts."""
    run, drawn = folder.runs[index], np.random.default_rng(index)
    place = evaluation_folder(folder.of_run(run), run.dataset)
    place.mkdir(parents=True)
    lines = [f"{COLUMNS},val_dice,val_iou,val_hd95"]
    for style in folder.study.styles:
        for image, dice in enumerate(drawn.beta(6, 2, images).round(6)):
            tag = "class" if style == "p1" else "mask-derived"
            cells = f"img{image},{run.dataset},0,{style},{tag},polyp,100,90,0,0"
            lines.append(f"{cells},{dice},{dice / (2 - dice):.6f},{50 * (1 - dice):.6f}")
    (place / "metrics.csv").write_text("\n".join(lines) + "\n")
    facts = {"styles": list(folder.study.styles), "data": "d", "model": "m", "versions": {"torch": "2"}}
    record = {**facts, "files": {"metrics.csv": file_digest(place / "metrics.csv")}}
    (place / "run.json").write_text(json.dumps(record))
    found = {run.dataset: {"folder": place.relative_to(folder.root).as_posix(), **facts}}
    result = {"run": run.facts, "seconds": 100.0, "parameters": 1000, "log": "log.txt", "commit": "c", "lists": {}}
    folder.finish(run, {**result, "leaks": {}, "evaluations": found})


def command(place: Path, *words: str) -> float:
    """Seconds of ``python -m monai_vlsm study ...`` with its start."""
    given = ["--data", str(place / "data"), "--bundles", str(ROOT / "bundles"), "--output", str(place / "out")]
    began = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "monai_vlsm", "study", *words, *given], check=True, env=environment)
    return time.perf_counter() - began


def measure_plan(place: Path) -> None:
    """Plan the paper."""
    make_data(place / "data", read_study("paper"))
    print(f"planned in {command(place, 'plan', 'paper'):.2f} s, with the start of Python")


def measure_table(place: Path, images: int) -> None:
    """Tables of the paper."""
    measure_plan(place)
    folder = StudyFolder.of(read_study("paper"), place / "out")
    for index in range(len(folder.runs)):
        make_result(folder, index, images)
    seconds = command(place, "table", "paper")
    print(f"tables of {len(folder.runs)} runs with {images} images each in {seconds:.2f} s, with the start of Python")


def measure_worker(place: Path, epochs: int) -> None:
    """A run of the sample: the worker's time, and that of the bundle in it."""
    spent: list[float] = []

    def timed(*given: Any) -> float:
        spent.append(run_logged(*given))
        return spent[-1]

    steps.run_logged = timed  # type: ignore[assignment]
    study = read_study("sample").with_setting("epochs", epochs)
    study = replace(study, systems={"dense VL": study.systems["dense VL"]}, tables={}, figures={})
    folder = StudyFolder.of(study, place / "out")
    folder.plan()
    began = time.perf_counter()
    Worker(folder).work()
    whole, bundle = time.perf_counter() - began, sum(spent)
    print(f"{whole:.1f} s, of which {bundle:.1f} s the commands of the bundle: {100 * (whole / bundle - 1):.2f} % more")


def main() -> None:
    """Measure what was named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plan", "table", "worker"))
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=16)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if arguments.what == "plan":
            measure_plan(place)
        elif arguments.what == "table":
            measure_table(place, arguments.images)
        else:
            measure_worker(place, arguments.epochs)


if __name__ == "__main__":
    main()
