# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A study by Ray: its tasks are workers. Ray keeps no state of the study, so whatever dies, files say what is left."""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.studies import ray_task
from monai_vlsm.studies.keys import MachineError, StudyError

__all__ = ["RayWorkers", "run_on_ray"]

_ANSWER = 20  # seconds that a cluster has to answer
_GRACE = 70  # seconds that workers get to give their runs back


@dataclass(frozen=True)
class RayWorkers:
    """What Ray is asked for.

    Args:
        address: of a cluster, ``auto`` for the one on this machine; None takes what is there, else starts one here.
        workers: how many; None is one for each GPU of the cluster, or one without GPUs.
        cpus: cores of each; None shares all of the cluster evenly.
        retries: how often a worker that dies begins again, perhaps on another machine.
    """

    address: str | None
    workers: int | None
    cpus: int | None
    retries: int

    def __post_init__(self) -> None:
        for name, value, least in (("workers", self.workers, 1), ("cpus", self.cpus, 1), ("retries", self.retries, 0)):
            if value is not None and value < least:
                raise StudyError(f"--{name}: expected a number from {least}, got {value}")

    def shares(self, resources: dict[str, float]) -> tuple[int, int, int]:
        """Workers, and cores and GPUs of each, for what a cluster has.

        Raises:
            StudyError: more cores for each worker than there are.
        """
        cores, gpus = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        workers = self.workers or max(1, gpus)
        cpus = self.cpus or max(1, cores // workers)
        if cpus > cores:
            raise StudyError(f"--cpus: Ray has {counted(cores, 'core')} in all, got {cpus}")
        return workers, cpus, min(1, gpus)


def run_on_ray(words: Sequence[str], root: Path, wanted: RayWorkers, tell: Callable[[str], None]) -> None:
    """Start workers by Ray and wait until all have ended.

    Args:
        words: the command of a worker without its GPU, behind ``python -m monai_vlsm``.
        root: folder of the study, which all machines see; logs of the workers go to ``ray`` in it.
        wanted: workers.
        tell: gets a line for each worker that ends.

    Raises:
        StudyError: Ray is not installed, or no cluster answers.
        MachineError: a worker ended with an error, again after its retries.
    """
    if importlib.util.find_spec("ray") is None:
        raise StudyError("this needs Ray: pip install 'monai_vlsm[ray]'")
    ray: Any = importlib.import_module("ray")

    started = _connect(ray, wanted.address)
    try:
        workers, cpus, gpus = wanted.shares(ray.cluster_resources())
        tell(f"Ray: {counted(workers, 'worker')}, each with {counted(cpus, 'core')} and {counted(gpus, 'GPU')}")
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": wanted.retries, "retry_exceptions": True}
        ray.cloudpickle.register_pickle_by_value(ray_task)  # machines get the text of the task, not its place
        task = ray.remote(**options)(ray_task.worker_task)
        logs = [root.absolute() / "ray" / f"worker-{index}.log" for index in range(workers)]
        given = [*words, f"--gpus={'all' if gpus else 'none'}"]
        _wait(ray, [task.remote(given, str(log), str(Path.cwd())) for log in logs], tell)
    finally:
        if started:
            ray.shutdown()


def _connect(ray: Any, address: str | None) -> bool:
    """Whether Ray was not in use in this process before."""
    if ray.is_initialized():
        return False
    _require_answer(address or os.environ.get("RAY_ADDRESS", ""))
    try:
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise StudyError(f"cannot use Ray at {address or 'this machine'}: {' '.join(str(error).split())}") from error
    return True


def _require_answer(address: str) -> None:
    """Of HOST:PORT: Ray itself tries for many minutes where nobody is."""
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()) or "/" in host:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()
    except (OSError, OverflowError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StudyError(f"cannot use Ray at {address}: {reason}. Give the address that ray start printed") from error


def _wait(ray: Any, left: list[Any], tell: Callable[[str], None]) -> None:
    """Wait for all workers; what the last of those that failed said is raised when all have ended."""
    failure = None
    try:
        while left:
            ended, left = ray.wait(left)
            try:
                tell(ray.get(ended[0]))
            except ray.exceptions.RayError as error:
                failure = " ".join(str(getattr(error, "cause", None) or error).split())
                tell(f"a worker ended: {failure}")
    finally:
        if left:  # Ctrl-C: workers give their runs back
            for task in left:
                ray.cancel(task)
            ray.wait(left, num_returns=len(left), timeout=_GRACE)
    if failure:
        raise MachineError(f"a worker ended, again after its retries: {failure}")
