# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What the CPU may ask of tensors, and give them, without waiting for a GPU."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["on_host", "send"]

HOST = frozenset({"cpu"})  # kinds of devices whose values are there already


def on_host(value: Tensor) -> bool:
    """Whether the values of a tensor can be read without waiting for anybody."""
    return value.device.type in HOST


def send(value: Tensor, device: torch.device) -> Tensor:
    """A tensor on another device; to a GPU through pinned memory, so that nobody waits until it has arrived."""
    if device.type == "cuda" and value.device.type == "cpu":
        value = value.contiguous().pin_memory()
    return value.to(device, non_blocking=True)
