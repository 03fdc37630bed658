# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Twice the records cost twice the work, counted in steps of the interpreter and not in seconds."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from monai_vlsm.data import ClassPromptError, load_datalist
from monai_vlsm.data.absent import absent_structures
from monai_vlsm.handlers.scores import score_summary
from monai_vlsm.names import OverlayNames
from monai_vlsm.statistics.cases import overlay_files
from monai_vlsm.statistics.reading import read_run

SMALL, LARGE = 100, 300
MOST = 1.15  # exponent; sorting adds a little to 1
Work = Callable[[], Any]


def steps(work: Work) -> int:
    """How many byte codes of Python run."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def datalist(count: int, folder: Path) -> Work:
    """One file name in many folders: the names of the records must be told apart."""
    rows = [{"image": f"{i}/a.png", "mask": f"{i}/m.png", "prompt": {"p1": "polyp"}} for i in range(count)]
    (folder / "train.json").write_text(json.dumps(rows))
    return lambda: load_datalist(folder, "train", check=False)


def structures(count: int, folder: Path) -> Work:
    """As many class prompts as images, and all of them one structure by a common word."""
    alone = [{"image": f"{i}.png", "label": "m.png", "prompt": {"p1": f"thing {i}"}} for i in range(count)]
    chained = [{"image": f"{i}.png", "label": "m.png", "prompt": {"p1": ["x", f"x {i}"]}} for i in range(count)]

    def work() -> None:
        for records in (alone, chained):
            with suppress(ClassPromptError):
                absent_structures(records)

    return work


def overlay_names(count: int, folder: Path) -> Work:
    names = OverlayNames()
    return lambda: [names.stem("same", "p1") for _ in range(count)]


def report_images(count: int, folder: Path) -> Work:
    names = np.array([f"{'?' * (1 + i % 3)}" for i in range(count)], dtype=object)
    styles = np.array([f"s{i}" for i in range(count)], dtype=object)
    scores = {"dataset": styles, "name": names, "style": np.array(["p1"] * count, dtype=object)}
    return lambda: overlay_files(scores, {})


def score_rows(count: int) -> list[dict[str, Any]]:
    empty = {"truth_pixels": 4, "pred_pixels": 4, "truth_empty": 0, "pred_empty": 0}
    scores = {"val_dice": 0.5, "val_iou": 0.4, "val_hd95": 2.0}
    own = [{"name": f"{i}", "image_id": f"{i}", "prompt": f"prompt {i}", "dataset": "mine"} for i in range(count)]
    return [{**one, "structure": 0, "style": "p1", "tag": "class", **empty, **scores} for one in own]


def summary(count: int, folder: Path) -> Work:
    rows = score_rows(count)
    return lambda: score_summary(rows, ["val_dice", "val_iou", "val_hd95"])


def run_of_a_report(count: int, folder: Path) -> Work:
    rows = score_rows(count)
    with (folder / "metrics.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return lambda: read_run(folder)


@pytest.mark.parametrize("make", [datalist, structures, overlay_names, report_images, summary, run_of_a_report])
def test_work_grows_with_the_records(make: Callable[[int, Path], Work], tmp_path: Path) -> None:
    counts = []
    for place, size in enumerate((SMALL, SMALL, LARGE)):
        folder = tmp_path / str(place)
        folder.mkdir()
        counts.append(steps(make(size, folder)))
    del counts[0]  # from Python 3.12 on, code that runs for the first time is not counted as a whole
    assert counts[0] > SMALL
    assert np.log(counts[1] / counts[0]) / np.log(LARGE / SMALL) < MOST
