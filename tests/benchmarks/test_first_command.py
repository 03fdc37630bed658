# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The comparison of the first command with an earlier revision."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import first_command
import pytest
from first_command import ratios, reached, run_until

LINE = (
    "epoch 17/20  loss 0.4335  lr 0.001  val_dice 0.847  val_iou 0.746  val_hd95 15.46  val_loss 0.4277  [02:48<00:29]"
)
CONSOLE = """
import sys, time
for epoch in range(1, 4):
    print(f"epoch {epoch}/3  loss 0.5  lr 0.001  val_dice 0.8{epoch}  val_iou 0.7")
if "--hang" in sys.argv:
    time.sleep(60)
"""


@pytest.mark.parametrize(("dice", "epoch"), [(0.847, 17), (0.5, 17), (0.848, None)])
def test_the_console_tells_when_the_dice_is_reached(dice: float, epoch: int | None) -> None:
    assert reached(LINE, dice) == epoch


@pytest.mark.parametrize("line", ["epoch 3/20  loss 0.6  [00:36<02:25]", "epoch 5: saved models/model.pt", ""])
def test_other_lines_tell_nothing(line: str) -> None:
    assert reached(line, 0.0) is None


def test_ratios_are_of_pairs() -> None:
    runs = {"base": [{"seconds": 6.0}, {"seconds": 9.0}], "here": [{"seconds": 3.0}, {"seconds": 2.0}]}
    assert ratios(runs, "seconds") == [2.0, 4.5]


@pytest.fixture
def console(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the place of the command: a process that prints what it would print."""
    popen = subprocess.Popen

    def start(command: list[str], **more: Any) -> subprocess.Popen[str]:
        return popen([sys.executable, "-u", "-c", CONSOLE, command[-1]], **more)

    monkeypatch.setattr(first_command.subprocess, "Popen", start)


def test_a_run_is_stopped_when_it_is_there(console: None, tmp_path: Path) -> None:
    found = run_until(tmp_path, 0.82, ["--hang"])
    assert found["epoch"] == 2
    assert 0 < found["processor"] < 30 > found["seconds"] > 0  # of two clocks: not compared


def test_a_run_that_never_gets_there_is_told(console: None, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"status 0\) before a validation Dice of 0.9"):
        run_until(tmp_path, 0.9, [""])
