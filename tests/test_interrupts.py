# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and SIGTERM end a program of ours in one line, and change nothing in a program of somebody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monai_vlsm.errors import show_user_errors_plainly
from monai_vlsm.interrupts import Terminated, end_in_one_line, exit_code, sigterm_like_ctrl_c, telling

BUNDLE = """
import os, signal, sys
from types import SimpleNamespace
sys.modules["__main__"].__spec__ = SimpleNamespace(name="monai.bundle.__main__")
sys.argv, sys.orig_argv = ["-m"], ["python", "-m", "monai_vlsm"]  # the package loads what is asked for, not all
from monai_vlsm.errors import show_user_errors_plainly
show_user_errors_plainly()
os.kill(os.getpid(), signal.{signal})
"""


def run(code: str, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code.format(signal=name)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_one_line(name: str, status: int) -> None:
    ended = run(BUNDLE, name)
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, "", "\nInterrupted.\n")


def test_what_was_kept_is_told_once_and_the_signals_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as ended, end_in_one_line(), telling(lambda: "One."), telling(lambda: "Two."):
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 143
    assert capsys.readouterr().err == "\nInterrupted. Two. One.\n"
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_other_errors_and_results_pass(capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="this"), end_in_one_line(), telling(lambda: "never said"):
        raise ValueError("this")
    with end_in_one_line():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    assert capsys.readouterr().err == ""


def test_a_program_keeps_its_own_hook_and_handlers() -> None:
    before = sys.excepthook, signal.getsignal(signal.SIGTERM)
    show_user_errors_plainly()
    assert (sys.excepthook, signal.getsignal(signal.SIGTERM)) == before


def test_a_handler_of_the_program_is_not_replaced() -> None:
    old = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        own = signal.getsignal(signal.SIGTERM)
        sigterm_like_ctrl_c()()
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, old)


def test_exit_codes() -> None:
    assert [exit_code(KeyboardInterrupt()), exit_code(Terminated())] == [130, 143]
