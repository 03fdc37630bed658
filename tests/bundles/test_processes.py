# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The bundle in several processes: what one process computes with the same total batch, whatever the sizes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.bundles.dataset import write_dataset
from tests.bundles.processes import MULTI, MULTI_EVALUATE, free_port, run_processes, variables
from tests.bundles.test_switches import numbers, results
from tests.bundles.test_vlsm_dense import (
    EVALUATE,
    TRAIN,
    _wait_for_an_epoch,
    command,
    environment,
    last,
    run,
    same,
    weights,
)

pytestmark = pytest.mark.slow  # whole trainings

ROWS = ("name", "prompt", "truth_pixels")


def prune(folder: Path, **counts: int) -> Path:
    """Leave so many structures in each list, with one prompt each: of the last images one less than of others."""
    for split, count in counts.items():
        rows = json.loads((folder / f"{split}.json").read_text())
        flat = [(row["image"], one) for row in rows for one in row["structures"]][:count]
        kept: dict[str, list[Any]] = {}
        for image, one in flat:
            kept.setdefault(image, []).append({**one, "prompt": one["prompt"]["p1"]})
        content = [{"image": image, "structures": found} for image, found in kept.items()]
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def settings(backbone: Path, tmp_path: Path) -> dict[str, Any]:
    """Nine records to train, in batches of four in all; three to validate."""
    data = prune(write_dataset(tmp_path / "data"), train=9, val=3)
    small = {"adapter_width": 4, "epochs": 2, "batch_size": 4, "num_workers": 0, "overlays": 2, "amp": False}
    rate = {"learning_rate": 0.01}  # that batches of other records would show
    return {"dataset_dir": str(data), "backbone": str(backbone), **small, **rate, "device": torch.device("cpu")}


def logged(folder: Path) -> list[tuple[int, float]]:
    """Step and loss of each iteration in TensorBoard."""
    found = EventAccumulator(str(folder))
    found.Reload()
    return [(event.step, event.value) for event in found.Scalars("train_loss")]


def table(path: Path) -> list[tuple[str, ...]]:
    rows = csv.DictReader(path.open(encoding="utf-8"))
    return sorted((*(row[name] for name in ROWS), f"{float(row['val_dice']):.4f}") for row in rows)


def assert_alike(several: Path, one: Path) -> None:
    """Curves, which hold the losses as they are shown and drawn, scores, and weights."""
    found, expected = results(several), results(one)
    assert numbers(found[1]) == pytest.approx(numbers(expected[1]), abs=2e-4)
    assert numbers(found[2]) == pytest.approx(numbers(expected[2]), abs=2e-4)
    for name, value in expected[0].items():
        torch.testing.assert_close(found[0][name], value, atol=2e-3, rtol=2e-3)
    assert table(several / "metrics.csv") == table(one / "metrics.csv")


@pytest.mark.parametrize("multi_prompt", [False, True])
def test_as_one_process_with_the_same_batch(multi_prompt: bool, settings: Any, tmp_path: Path) -> None:
    """Five images of two structures, of which the last has one; the last batch is short, in one process empty."""
    more = {**settings, "multi_prompt": multi_prompt}
    one = run([TRAIN], tmp_path / "one", **more)
    several = run_processes([TRAIN, MULTI], tmp_path / "several", **{**more, "batch_size": 2})
    assert_alike(several, one)
    steps, values = zip(*logged(several), strict=True)
    expected_steps, expected_values = zip(*logged(one), strict=True)
    assert steps == expected_steps
    assert values == pytest.approx(expected_values, abs=2e-4)
    events = [len(list(folder.glob("events.*"))) for folder in (several, one)]
    assert events[0] == events[1]  # of process 0 alone
    names = [{path.name for path in (folder / "overlays").glob("*.png")} for folder in (several, one)]
    assert names[0] == names[1]
    assert len(names[0]) == 2
    thresholds = [weights(folder)["monai_vlsm"]["existence_threshold"] for folder in (several, one)]
    assert thresholds[0] == pytest.approx(thresholds[1], abs=1e-3)


@pytest.mark.parametrize(("train", "val"), [(3, 2), (1, 1)])
def test_fewer_records_than_processes(train: int, val: int, settings: Any, tmp_path: Path) -> None:
    data = prune(write_dataset(tmp_path / "few"), train=train, val=val)
    more = {**settings, "dataset_dir": str(data)}
    one = run([TRAIN], tmp_path / "one", **more)
    several = run_processes([TRAIN, MULTI], tmp_path / "several", 3, **{**more, "batch_size": 2})
    assert_alike(several, one)
    model = {"model_file": str(several / "models" / "model.pt")}
    found = run_processes([TRAIN, EVALUATE, MULTI_EVALUATE], tmp_path / "evaluated", 3, **more, **model)
    assert table(found / "metrics.csv") == table(several / "metrics.csv")
    if val == 2:  # of one image, which two processes only stand in for
        assert len(list(csv.DictReader((found / "probes.csv").open(encoding="utf-8")))) == 2


def test_nothing_to_validate(settings: Any, tmp_path: Path) -> None:
    """As MONAI Label trains on few labels."""
    folder = run_processes([TRAIN, MULTI], tmp_path, **{**settings, "validate#dataset#data": []})
    assert (folder / "models" / "model.pt").is_file()


def test_resume(settings: Any, tmp_path: Path) -> None:
    straight = run_processes([TRAIN, MULTI], tmp_path / "straight", **settings)
    run_processes([TRAIN, MULTI], tmp_path / "stopped", **{**settings, "epochs": 1})
    resumed = run_processes([TRAIN, MULTI], tmp_path / "stopped", **settings, resume=True)
    assert same(last(resumed), last(straight))
    assert same(weights(resumed), weights(straight))


def test_resume_with_another_number_of_processes(settings: Any, tmp_path: Path) -> None:
    """The total batch stays."""
    straight = run([TRAIN], tmp_path / "straight", **settings)
    run_processes([TRAIN, MULTI], tmp_path / "stopped", **{**settings, "epochs": 1, "batch_size": 2})
    assert_alike(run([TRAIN], tmp_path / "stopped", **settings, resume=True), straight)


def test_all_overlays_of_all_processes(settings: Any, tmp_path: Path) -> None:
    trained = run([TRAIN], tmp_path / "one", **settings)
    more = {**settings, "overlays": "all", "model_file": str(trained / "models" / "model.pt")}
    found = run_processes([TRAIN, EVALUATE, MULTI_EVALUATE], tmp_path / "found", **more)
    assert len(list((found / "overlays").glob("*.png"))) == 3
    assert len([name for name in json.loads((found / "run.json").read_text())["files"] if name.endswith(".png")]) == 3


def test_a_process_that_dies_takes_the_others_along(settings: Any, tmp_path: Path) -> None:
    """Soon, with one line; and the run goes on with ``--resume True``."""
    configs = str([str(TRAIN), str(MULTI)])
    typed = command(configs, {**settings, "epochs": 200, "early_stop": 0}, tmp_path / "run")
    port = free_port()
    processes = [
        subprocess.Popen(
            typed,
            env={**environment(), **variables(rank, 2, port), "TORCHELASTIC_RUN_ID": "test"},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(2)
    ]
    _wait_for_an_epoch(tmp_path / "run" / "last.pt", processes[0])
    os.kill(processes[1].pid, signal.SIGKILL)
    started = time.monotonic()
    _, said = processes[0].communicate(timeout=60)
    processes[1].communicate(timeout=10)
    assert processes[0].returncode == 1
    assert time.monotonic() - started < 30
    assert "Traceback" not in said
    assert [line for line in said.splitlines() if line.startswith("error: another process of this run has ended")]
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["epoch"] >= 1
