# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A study on a Slurm cluster: a job array whose elements are workers."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from monai_vlsm.io import write_text
from monai_vlsm.studies.keys import StudyError

__all__ = ["require_options", "slurm_script", "submit", "write_script"]

_SCRIPT = """\
#!/bin/bash
# Written by `python -m monai_vlsm study slurm`. Each element is a worker: it takes runs until none is left.
#SBATCH --job-name={name}
#SBATCH --array=0-{last}
#SBATCH --time={time}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:TERM@{before}
#SBATCH --output={logs}/%A_%a.log
{options}
# Before the time is over, or when a job of more weight comes: the training keeps its last epoch, the run is given back,
# and this element goes to the end of the queue.
again() {{
    trap '' TERM
    kill -TERM $! 2> /dev/null
    wait $!
    # after a preemption Slurm has done that already, and this does nothing
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}" 2> /dev/null
    exit 143
}}
trap again TERM

cd {folder}
{command} &
wait $!
status=$?
[ "$status" -ne 143 ] || again  # the signal came to the worker alone
exit "$status"
"""
_BEFORE = 120  # seconds before the end of the time that a worker gets to give its run back
# minutes, minutes:seconds, hours:minutes:seconds; or days-hours, with minutes and seconds behind
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", re.ASCII)
_ENDLESS = ("UNLIMITED", "INFINITE")


def require_options(workers: int, time: str, options: Sequence[str]) -> None:
    """Check what a script is asked for, see `slurm_script`.

    Raises:
        StudyError: not one worker, a time in which none can do anything, or an option that is none.
    """
    if workers < 1:
        raise StudyError(f"--workers: expected a number from 1, got {workers}")
    seconds = _seconds(time)
    if seconds is None:
        raise StudyError(f"--time: expected a time as sbatch takes it, such as 12:00:00 or 2-00:00:00, got {time!r}")
    if 0 < seconds <= _BEFORE:
        raise StudyError(f"--time: a worker gives its run back {_BEFORE} seconds before the end; give more than {time}")
    wrong = [one for one in options if not one.startswith("--") or not one.isprintable()]
    if wrong:
        raise StudyError(f"--sbatch: options are written as --name=value, got {wrong[0]!r}")


def _seconds(time: str) -> int | None:
    """Length of a time of Slurm, 0 if it has no end; None if it is none."""
    if time.upper() in _ENDLESS:
        return 0
    found = _TIME.fullmatch(time)
    if found is None:
        return None
    days, *parts = (int(part) if part else 0 for part in found.groups())
    if found["days"] is None and found[4] is None:  # no hours
        parts = [0, *parts]
    hours, minutes, seconds = parts[:3]
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def slurm_script(
    name: str, root: Path, words: Sequence[str], workers: int, time: str, options: Sequence[str] = ("--gpus=1",)
) -> str:
    """The text of a script for ``sbatch``.

    Args:
        name: of the study.
        root: its folder, which all nodes see; logs of the workers go to ``slurm`` in it.
        words: the command of a worker, behind ``python -m monai_vlsm``.
        workers: number of elements.
        time: of each element, as ``sbatch --time`` takes it.
        options: further options of ``sbatch``, such as a partition.

    Raises:
        StudyError: as from `require_options`.
    """
    require_options(workers, time, options)
    return _SCRIPT.format(
        name="".join(letter if letter.isalnum() else "_" for letter in name),
        last=workers - 1,
        time=time,
        before=_BEFORE,
        logs=_quoted(root.absolute() / "slurm"),
        options="".join(f"#SBATCH {option}\n" for option in options),
        folder=shlex.quote(str(Path.cwd())),
        command=shlex.join([sys.executable, "-m", "monai_vlsm", *words]),
    )


def _quoted(folder: Path) -> str:
    """A path in an option of a script: sbatch splits at spaces, takes # for a comment and %% for a percent sign."""
    return re.sub(r"([\s'\"#\\])", r"\\\1", str(folder)).replace("%", "%%")


def write_script(root: Path, text: str) -> Path:
    """Write the script into the folder of the study, and make the folder of the logs, without which no job starts.

    Raises:
        WriteError: it cannot be written.
    """
    path = root / "slurm" / "study.sbatch"
    write_text(path, text)
    return path


def submit(script: Path) -> str:
    """Hand the script to ``sbatch``; returns what that says.

    Raises:
        StudyError: there is no ``sbatch`` here, or it refuses; its own words are in the message.
    """
    try:
        found = subprocess.run(["sbatch", str(script)], capture_output=True, text=True, check=False)
    except OSError as error:
        raise StudyError(f"cannot run sbatch: {error.strerror}; submit {script} where Slurm is installed") from error
    if found.returncode:
        raise StudyError(f"sbatch refuses {script}: {' '.join(found.stderr.split()) or found.returncode}")
    return found.stdout.strip()
