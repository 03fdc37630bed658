# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Bundles in several processes on one machine, without torchrun and without new starts of Python."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import torch

from tests.bundles.test_vlsm_dense import TRAIN, run

MULTI = TRAIN.with_name("multi_gpu_train.json")
MULTI_EVALUATE = TRAIN.with_name("multi_gpu_evaluate.json")


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """What torchrun puts into the environment of a process."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
    return {**{name: str(value) for name, value in numbers.items()}, "MASTER_ADDR": "127.0.0.1"}


def _as_rank(rank: int, processes: int, port: int, configs: list[Path], folder: Path, override: dict[str, Any]) -> None:
    torch.set_num_threads(1)  # a fork has no threads of OpenMP, and would wait for them
    os.environ.update(variables(rank, processes, port))
    run(configs, folder, **override)


def run_processes(configs: list[Path], folder: Path, processes: int = 2, **override: Any) -> Path:
    """As `tests.bundles.test_vlsm_dense.run`, in processes that are forks of this one."""
    arguments = (processes, free_port(), configs, folder, override)
    torch.multiprocessing.start_processes(_as_rank, arguments, nprocs=processes, start_method="fork")
    return folder
