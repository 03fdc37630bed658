# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The workers of one machine: one for each GPU, or one on the CPU. No port is opened."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress

from monai_vlsm.studies.keys import MachineError, StudyError
from monai_vlsm.studies.process import start

__all__ = ["choose_gpus", "gpu_environment", "gpu_names", "gpus_here", "require_gpu", "run_workers"]

_GPU = re.compile("[0-9]+|(GPU|MIG)-.+")


def gpus_here() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them: an index or what is set there."""
    words = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        lines = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return []
    there = [[part.strip() for part in line.split(",")] for line in lines if line.strip()]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return [gpu[0] for gpu in there]
    names = {name for gpu in there for name in gpu}
    return [name for name in _named(allowed) if name in names or name.startswith("MIG-") or _is_start(name, names)]


def _named(allowed: str) -> list[str]:
    """The GPUs that ``CUDA_VISIBLE_DEVICES`` names; any other word means none: -1, void, or NoDevFiles by Slurm."""
    return [name.strip() for name in allowed.split(",") if _GPU.fullmatch(name.strip())]


def _is_start(name: str, names: Collection[str]) -> bool:
    """Whether CUDA takes it for the UUID of a GPU: of that it needs no more than the beginning."""
    return name.startswith("GPU-") and any(one.startswith(name) for one in names)


def _require_named(there: Sequence[str]) -> None:
    """Whoever names GPUs does not mean the CPU.

    Raises:
        MachineError: ``CUDA_VISIBLE_DEVICES`` names some, and none of them is there.
    """
    named = _named(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    if named and not there:
        raise MachineError(
            f"CUDA_VISIBLE_DEVICES names GPU {', '.join(named)}, which nvidia-smi does not find; unset it, or "
            "work on the CPU with --gpus none"
        )


def choose_gpus(wanted: str, there: Sequence[str]) -> list[str]:
    """The GPUs to work on; none stands for the CPU.

    Args:
        wanted: ``auto`` takes those that are there, ``all`` needs one at least, ``none`` is the CPU; or names of GPUs
            with commas.
        there: as from `gpus_here`.

    Raises:
        StudyError: one that is not there.
    """
    if wanted == "none":
        return []
    if wanted == "all" and not there:
        raise StudyError("no GPU is there, or nvidia-smi does not find one; --gpus none works on the CPU")
    if wanted in ("all", "auto"):
        _require_named(there)
        return list(there)
    chosen = gpu_names(wanted)
    for name in chosen:
        require_gpu(name, there)
    return chosen


def gpu_names(wanted: str) -> list[str]:
    """The names of GPUs in an option; none of ``auto``, ``all`` and ``none``.

    Raises:
        StudyError: an empty name, or one that is there twice: two workers would share its memory.
    """
    if wanted in ("auto", "all", "none"):
        return []
    names = [name.strip() for name in wanted.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise StudyError(f"--gpus: expected auto, all, none, or different GPUs such as 0,1, got {wanted!r}")
    return names


def require_gpu(name: str, there: Sequence[str]) -> None:
    """Check that a GPU is there.

    Raises:
        MachineError: it is not.
    """
    if name not in there:
        found = f"there are {', '.join(there)}" if there else "nvidia-smi finds none"
        raise MachineError(f"GPU {name} is not there, {found}")


def gpu_environment(gpu: str | None) -> dict[str, str]:
    """Variables of a worker on one GPU, or on the CPU."""
    return {"CUDA_VISIBLE_DEVICES": gpu or ""}


def run_workers(gpus: Sequence[str], words: Sequence[str]) -> int:
    """A worker for each GPU, as a process of its own, with its share of the CPUs; all end when this one does.

    A training starts as many loaders as it has CPUs (`monai_vlsm.data.default_workers`): with all of them for each
    GPU they would get in each other's way.

    Args:
        gpus: their names.
        words: the command of one worker without its GPU, behind ``python -m monai_vlsm``.

    Returns:
        The highest of their exit statuses.
    """
    command = [sys.executable, "-m", "monai_vlsm", *words]
    workers: list[subprocess.Popen[bytes]] = []
    try:
        for gpu, cpus in zip(gpus, _shares(len(gpus)), strict=True):
            workers.append(start([*command, f"--gpus={gpu}"], os.environ))
            if cpus:
                with suppress(OSError):  # it has ended, which its status tells; or the system forbids it
                    os.sched_setaffinity(workers[-1].pid, cpus)
        return max(abs(worker.wait()) for worker in workers)
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()


def _shares(workers: int) -> list[list[int]]:
    """The CPUs of each worker, neighbours together; one at least, and none named where the system cannot say."""
    if not hasattr(os, "sched_getaffinity"):
        return [[]] * workers
    there = sorted(os.sched_getaffinity(0))
    ends = [number * len(there) // workers for number in range(workers + 1)]
    return [there[ends[one] : ends[one + 1]] or [there[one % len(there)]] for one in range(workers)]
