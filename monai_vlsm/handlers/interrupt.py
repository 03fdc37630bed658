# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A short goodbye after Ctrl-C or SIGTERM, and the command that goes on."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import ignite.distributed as idist
from ignite.engine import Engine, Events

from monai_vlsm.counts import counted
from monai_vlsm.interrupts import exit_code

__all__ = ["InterruptExit", "InterruptNote", "resume_command"]

_NAMED = 8  # files that a message names


def resume_command() -> str:
    """The command line of this run with ``--resume True`` in place of what it says about ``--resume``.

    In a process of torchrun it starts with torchrun: as many processes, and where several machines take part the place
    of this one among them.
    """
    pairs = zip(["", *sys.orig_argv], sys.orig_argv, strict=False)
    kept = [word for before, word in pairs if "--resume" not in (before, word.partition("=")[0])]
    return shlex.join([*_launched(kept, os.environ), "--resume", "True"])


def _launched(command: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """A command line of Python as torchrun was given it; itself in a process that torchrun did not start."""
    if "TORCHELASTIC_RUN_ID" not in environment:
        return list(command)
    words = [f"--nproc_per_node={environment.get('LOCAL_WORLD_SIZE', 1)}"]
    machines = int(environment.get("GROUP_WORLD_SIZE", 1))
    if machines > 1:
        words += [f"--nnodes={machines}", f"--node_rank={environment.get('GROUP_RANK', 0)}"]
        words += [f"--{name}={environment.get(name.upper(), '')}" for name in ("master_addr", "master_port")]
    python, *rest = command
    rest = rest[1:] if rest[:1] == ["-u"] else rest  # torchrun's own
    if rest[:1] not in (["-m"], []) and rest[0].startswith("-"):  # further options of Python
        return ["torchrun", *words, "--no-python", python, *rest]
    return ["torchrun", *words, *rest]


class InterruptExit:
    """After Ctrl-C or SIGTERM prints one line, what is kept and how to resume, and ends the process with 130 or 143.

    Attach to the trainer *and* to the evaluator that runs within it, as the *first* handler of each: ignite calls only
    the first handler of EXCEPTION_RAISED that raises, and ``StatsHandler`` would print the traceback. Every other
    exception is passed on as it is. :class:`TrainingState` has already written what is needed to resume.

    Args:
        command: what to type to resume; by default `resume_command`.
        files: files of the run; those that are there are named.
    """

    def __init__(self, command: str | None = None, files: Sequence[str | os.PathLike[str]] = ()) -> None:
        self.command = command
        self.files = list(files)

    def attach(self, engine: Engine) -> None:
        """Handle what interrupts ``engine``."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)

    def __call__(self, engine: Engine, error: BaseException) -> NoReturn:
        """Turn KeyboardInterrupt into an exit, raise anything else again."""
        if not isinstance(error, KeyboardInterrupt):
            raise error
        if idist.get_rank() == 0:
            there = [str(path) for path in self.files if Path(path).is_file()]
            kept = f" Kept: {', '.join(there)}." if there else ""
            line = f"\nInterrupted.{kept} Resume with: {self.command or resume_command()}"
            print(line, file=sys.stderr, flush=True)
        raise SystemExit(exit_code(error)) from None


class InterruptNote:
    """When an evaluation or an inference is interrupted, notes what is done, for the line that ends the program.

    The interruption itself goes on (`monai_vlsm.interrupts`); it cannot be resumed as a training can. Attach to the
    *evaluator*, on all processes, as its first handler.

    Args:
        output_dir: the folder of the results; what has been written there since this was made is named.
    """

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.output_dir = Path(output_dir)
        self._since = time.time()

    def attach(self, engine: Engine) -> None:
        """Follow ``engine``, an evaluator."""
        engine.add_event_handler(Events.EXCEPTION_RAISED, self)

    def __call__(self, engine: Any, error: BaseException) -> NoReturn:
        """Add the note and raise the error again."""
        if isinstance(error, KeyboardInterrupt):
            written = self._written()
            files = ", ".join(written[:_NAMED]) + (f" and {len(written) - _NAMED} more" if written[_NAMED:] else "")
            done, total = max(0, engine.state.iteration - 1), engine.state.epoch_length  # one was going on
            what = f"{done} of {counted(total, 'batch')}" if total else counted(done, "batch")
            error.add_note(f"{what} done; kept in {self.output_dir}: {files or 'nothing'}.")
        raise error

    def _written(self) -> list[str]:
        """Names of files of this run, hidden ones left out."""
        found = sorted(self.output_dir.rglob("*")) if self.output_dir.is_dir() else []
        names = [path.relative_to(self.output_dir) for path in found if self._is_new(path)]
        return [str(name) for name in names if not any(part.startswith(".") for part in name.parts)]

    def _is_new(self, path: Path) -> bool:
        return path.is_file() and path.stat().st_mtime >= self._since - 1  # clocks of file systems are coarse
