# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from monai_vlsm.handlers import InterruptExit, InterruptNote
from monai_vlsm.handlers.interrupt import resume_command
from monai_vlsm.interrupts import Terminated, goodbye

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(("wait", "whole_group"), [(0.1, False), (0.75, True)], ids=["training", "validation"])
def test_ctrl_c(tmp_path: Path, wait: float, whole_group: bool) -> None:
    """In the third of four epochs: 0.6 s of training, then 0.6 s of validation."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.handlers.toy", str(tmp_path), "--resume", "False"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background jobs inherit SIG_IGN
    )
    assert process.stdout is not None
    while process.stdout.readline().strip() != "epoch 3":
        assert process.poll() is None
    time.sleep(wait)
    (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
    out, errors = process.communicate(timeout=30)

    assert process.returncode == 130
    assert f"\nInterrupted. Resume with: {sys.executable} " in errors
    assert errors.count("Interrupted.") == 1
    assert f"{tmp_path} --resume True\n" in errors
    assert "Traceback" not in out + errors
    assert torch.load(tmp_path / "last.pt", weights_only=True)["epoch"] == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("python -m monai.bundle run", "python -m monai.bundle run --resume True"),
        ("python run.py --resume True --epochs 3", "python run.py --epochs 3 --resume True"),
        ("python run.py --resume=False --epochs 3", "python run.py --epochs 3 --resume True"),
        ("python run.py --resume_from x", "python run.py --resume_from x --resume True"),
    ],
)
def test_resume_command(monkeypatch: pytest.MonkeyPatch, given: str, expected: str) -> None:
    monkeypatch.setattr(sys, "orig_argv", given.split())
    assert resume_command() == expected


def test_resume_command_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", ["python", "my run.py", "['a','b']"])
    assert resume_command() == """python 'my run.py' '['"'"'a'"'"','"'"'b'"'"']' --resume True"""


TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "LOCAL_WORLD_SIZE": "2", "GROUP_WORLD_SIZE": "1"}
TWO_MACHINES = {"GROUP_WORLD_SIZE": "2", "GROUP_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}


@pytest.mark.parametrize(
    ("more", "given", "expected"),
    [
        ({}, "python -u -m monai.bundle run", "torchrun --nproc_per_node=2 -m monai.bundle run --resume True"),
        ({}, "python -u run.py --epochs 3", "torchrun --nproc_per_node=2 run.py --epochs 3 --resume True"),
        (
            {},
            "python -W ignore -m monai.bundle run",
            "torchrun --nproc_per_node=2 --no-python python -W ignore -m monai.bundle run --resume True",
        ),
        (
            TWO_MACHINES,
            "python -u -m monai.bundle run",
            "torchrun --nproc_per_node=2 --nnodes=2 --node_rank=1 --master_addr=node0 --master_port=29500 "
            "-m monai.bundle run --resume True",
        ),
    ],
)
def test_resume_command_of_torchrun(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, str], given: str, expected: str
) -> None:
    for name, value in {**TORCHRUN, **more}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "orig_argv", given.split())
    assert resume_command() == expected


def test_sigterm_and_files_that_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def end(*_: object) -> None:
        raise Terminated

    (tmp_path / "last.pt").touch()
    engine = Engine(end)
    InterruptExit("again", [tmp_path / "last.pt", tmp_path / "model.pt"]).attach(engine)
    with pytest.raises(SystemExit) as ended:
        engine.run([0])
    assert ended.value.code == 143
    assert capsys.readouterr().err == f"\nInterrupted. Kept: {tmp_path / 'last.pt'}. Resume with: again\n"


def test_an_evaluation_notes_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / "old.csv").touch()
    os.utime(tmp_path / "old.csv", (1, 1))
    note = InterruptNote(tmp_path)

    def work(engine: Engine, batch: int) -> None:
        if batch == 2:
            raise Terminated
        (tmp_path / "overlays").mkdir(exist_ok=True)
        (tmp_path / "overlays" / f"{batch}.png").touch()

    engine = Engine(work)
    note.attach(engine)
    with pytest.raises(Terminated) as info:
        engine.run([0, 1, 2])
    assert goodbye(info.value) == (
        f"Interrupted. 2 of 3 batches done; kept in {tmp_path}: overlays/0.png, overlays/1.png."
    )


def test_other_exceptions_pass_and_a_given_command_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for error, expected in ((ValueError, ValueError), (KeyboardInterrupt, SystemExit)):

        def fail(*_: object, error: type[BaseException] = error) -> None:
            raise error

        engine = Engine(fail)
        InterruptExit("train again").attach(engine)
        with pytest.raises(expected):
            engine.run([0])
    assert capsys.readouterr().err == "\nInterrupted. Resume with: train again\n"
