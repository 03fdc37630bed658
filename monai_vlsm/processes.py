# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a process of a run computes, and with which others."""

from __future__ import annotations

import logging
import os
from datetime import timedelta

import torch
import torch.distributed as dist

from monai_vlsm.counts import counted
from monai_vlsm.errors import UserError

__all__ = ["ProcessesError", "join_processes", "leave_processes", "local_device"]

PATIENCE = timedelta(hours=2)
"""How long a process waits for the others, of which one may draw, write or read alone; a dead one is noticed at once,
because torchrun ends the others."""


class ProcessesError(UserError, RuntimeError):
    """Processes were not started as they must be."""


def local_device() -> torch.device:
    """The GPU of this process, which torchrun numbers; without torchrun the current GPU; without a GPU the CPU.

    Raises:
        ProcessesError: more processes than GPUs.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank, there = os.environ.get("LOCAL_RANK"), torch.cuda.device_count()
    if rank is not None and int(rank) >= there:
        raise ProcessesError(
            f"torchrun started {os.environ.get('LOCAL_WORLD_SIZE', int(rank) + 1)} processes, and there "
            f"{'is' if there == 1 else 'are'} {counted(there, 'GPU')}: give --nproc_per_node={there}"
        )
    return torch.device("cuda") if rank is None else torch.device("cuda", int(rank))


def join_processes(device: torch.device | str) -> None:
    """Join the processes that torchrun started: over NCCL with GPUs, over gloo with CPUs. Process 0 speaks for all.

    Args:
        device: of this process; a GPU becomes the current one. One without a number is that of `local_device`.

    Raises:
        ProcessesError: torchrun did not start this process; or see `local_device`.
    """
    device = torch.device(device)
    if not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        raise ProcessesError(
            "a multi_gpu config is for processes that torchrun starts, and this is none: put torchrun "
            "--standalone --nproc_per_node=2 in place of python, or leave the config out"
        )
    if device.type == "cuda":
        torch.cuda.set_device(local_device() if device.index is None else device)
    dist.init_process_group(backend="nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    if dist.get_rank() > 0:
        logging.getLogger("monai_vlsm").setLevel(logging.WARNING)


def leave_processes() -> None:
    """End what `join_processes` began; nothing happens without it."""
    if dist.is_initialized():
        dist.destroy_process_group()
