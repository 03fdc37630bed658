# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a process of a run computes, and with which others."""

from __future__ import annotations

import os

import torch
import torch.distributed as dist

__all__ = ["join_processes", "leave_processes", "local_device"]


def local_device() -> torch.device:
    """The GPU of this process, which torchrun numbers; without torchrun the current GPU; without a GPU the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    rank = os.environ.get("LOCAL_RANK")
    return torch.device("cuda") if rank is None else torch.device("cuda", int(rank))


def join_processes(device: torch.device | str) -> None:
    """Join the processes that torchrun started: over NCCL with GPUs, over gloo with CPUs.

    Args:
        device: of this process; a GPU becomes the current one.
    """
    device = torch.device(device)
    dist.init_process_group(backend="nccl" if device.type == "cuda" else "gloo")
    if device.type == "cuda":
        torch.cuda.set_device(device)


def leave_processes() -> None:
    """End what `join_processes` began; nothing happens without it."""
    if dist.is_initialized():
        dist.destroy_process_group()
