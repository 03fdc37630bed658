# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What Ray runs on its machines.

It is sent there as it stands and imports nothing of the package, since that would import torch to start a program.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["worker_task"]

_PROGRAM = (sys.executable, "-m", "monai_vlsm")
_FAILED_RUNS = 1  # status of a worker whose runs have failed, and of one that met an error
_ERROR = "error: "
_GRACE = 60  # seconds that a worker gets to give its run back


def worker_task(words: Sequence[str], log: str, folder: str) -> str:
    """One worker, as a process of its own, on the machine and the GPU that Ray has chosen; it ends when the task does.

    Args:
        words: its command, behind ``python -m monai_vlsm``.
        log: its file.
        folder: in which it works.

    Returns:
        What the worker said last.

    Raises:
        RuntimeError: it ended with an error that is not of a run, after which Ray starts it again.
    """
    path = Path(log)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as output:
        since = output.tell()
        process = subprocess.Popen([*_PROGRAM, *words], stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        try:
            status = process.wait()
        finally:
            process.terminate()
            process.wait(_GRACE)
    lines = path.read_bytes()[since:].decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()] or [f"ended with status {status}"]
    errors = [line.removeprefix(_ERROR) for line in said if line.startswith(_ERROR)]
    if status < 0:
        raise RuntimeError(f"{path.name}: killed by signal {-status}")
    if errors or status not in (0, _FAILED_RUNS):
        raise RuntimeError(f"{path.name}: {(errors or said)[-1]}")
    return f"{path.name}: {said[-1]}"
