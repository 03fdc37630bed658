# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Programs that a worker starts: their log, their end, and their last words."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from monai_vlsm.studies.process import ClaimLostError, last_error, run_logged


def wrapped(raised: str) -> str:
    """A traceback as MONAI's parser has it around an error."""
    chain = "The above exception was the direct cause of the following exception:"
    where = 'Traceback (most recent call last):\n  File "a.py", line 3, in run\n    Trainer(x)\n'
    failed = 'RuntimeError: Failed to evaluate ConfigExpression: \n"$trainer.run()"\n'
    return f"{'' if chain in raised else where}{raised}\n\n{chain}\n\n{where}{failed}"


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("a\nerror: no list; make one\nimages:\n x\n", 1, "no list; make one"),
        ("Traceback\n  line\nValueError: wrong\n\n", 1, "ValueError: wrong"),
        (wrapped("torch.OutOfMemoryError: no memory\nHint: less"), 1, "torch.OutOfMemoryError: no memory"),
        (wrapped(wrapped("a.b.Stopped: by hand")), 1, "a.b.Stopped: by hand"),
        (f"{wrapped('ValueError: x')}fine\nfine\nzipfile.BadZipFile: no zip\n", 1, "zipfile.BadZipFile: no zip"),
        ("ConnectionError: again, fine\nKeyboardInterrupt\n", 1, "KeyboardInterrupt"),
        ("", 3, "ended with status 3"),
        ("fine", -9, "killed by SIGKILL; perhaps there was not enough memory"),
        ("fine", -11, "killed by SIGSEGV"),
        ("fine", -40, "killed by signal 40"),
    ],
)
def test_last_words(tmp_path: Path, text: str, status: int, said: str) -> None:
    log = tmp_path / "log"
    log.write_text("error: of an attempt before\n" + text)
    assert last_error(log, len("error: of an attempt before\n"), status) == said


def test_both_streams_go_to_the_log(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['A']); print('b', file=sys.stderr)"
    run_logged([sys.executable, "-c", code], {**os.environ, "A": "a"}, tmp_path / "log", threading.Event())
    assert {"a", "b"} < set((tmp_path / "log").read_text().split())


def test_a_failure(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run_logged([sys.executable, "-c", "raise SystemExit(2)"], os.environ, tmp_path / "log", threading.Event())


def test_it_ends_when_the_claim_is_lost(tmp_path: Path) -> None:
    lost = threading.Event()
    lost.set()
    with pytest.raises(ClaimLostError):
        run_logged([sys.executable, "-c", "input()"], os.environ, tmp_path / "log", lost)
