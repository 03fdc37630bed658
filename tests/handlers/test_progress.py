# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Events

from monai_vlsm.handlers import ProgressBar
from monai_vlsm.handlers.progress import epoch_line
from tests.handlers import toy

pytestmark = pytest.mark.usefixtures("blank_curves")

LINE = r"epoch {0}/2  loss \d\.\d+  lr 0\.0\d+  val_dice 0\.\d+  val_hd95 \d+(\.\d+)?  val_loss \d\.\d+"
TIMES = r"  \[\d\d:\d\d<\d\d:\d\d\]"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_file_gets_one_line_per_epoch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.trainer(tmp_path, epochs=2).run()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert len(lines) == 2
    for number, line in enumerate(lines, 1):
        assert re.fullmatch(LINE.format(number) + TIMES, line)
        assert "lr 0.02 " in line  # the rate of the epoch, not the one that the schedule sets after it
    assert lines[-1].endswith("<00:00]")


def test_a_terminal_gets_a_bar_over_all_epochs(tmp_path: Path) -> None:
    stream = _Terminal()
    engine = toy.trainer(tmp_path, epochs=2, stream=stream)
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda _: time.sleep(0.11))  # tqdm draws every 0.1 s
    engine.run()
    shown = re.split("[\r\n]", stream.getvalue())
    assert any(re.match(r"epoch 1/2 .*\d/6 \[\d\d:\d\d<\d\d:\d\d, loss=\d.*, lr=0\.02\]", text) for text in shown)
    assert any("validating 2/3" in text for text in shown)
    assert any(re.match(r"epoch 2/2 100%.*6/6 ", text) for text in shown)
    assert not shown[-1].strip()  # the bar is gone
    assert sum(bool(re.fullmatch(LINE.format(1), text.strip())) for text in shown) == 1
    assert sum(bool(re.fullmatch(LINE.format(2), text.strip())) for text in shown) == 1


def test_a_resumed_run_counts_on(tmp_path: Path) -> None:
    toy.trainer(tmp_path, epochs=1).run()
    stream = _Terminal()
    toy.trainer(tmp_path, epochs=2, resume=True, stream=stream).run()
    assert "3/6" in stream.getvalue()
    assert "1/6" not in stream.getvalue()


def test_epochs_without_validation_show_no_old_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.trainer(tmp_path, epochs=3, interval=2).run()
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("epoch")]
    assert ["val_dice" in line for line in lines] == [False, True, False]


def test_on_an_evaluator_of_its_own() -> None:
    stream = io.StringIO()
    engine = toy.evaluator(torch.nn.Conv2d(3, 1, 1), toy.records(2), [ProgressBar(stream=stream)])
    engine.run()
    assert re.fullmatch(r"epoch 1/1  val_dice \S+  val_hd95 \S+  val_loss \S+  \[00:0\d<00:00\]\n", stream.getvalue())


def test_epoch_line() -> None:
    assert epoch_line(3, 200, {"loss": 0.123456, "lr": 0.0003, "big": 12345.6}) == (
        "epoch 3/200  loss 0.1235  lr 0.0003  big 1.235e+04"
    )
