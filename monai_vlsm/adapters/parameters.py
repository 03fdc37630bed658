# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which parameters of a network are adapters, and what the rest of it is."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Seams
from monai_vlsm.adapters.block import BottleneckAdapter

__all__ = ["adapter_names", "base_fingerprint", "count_parameters", "freeze_base"]


def adapter_names(network: nn.Module) -> list[str]:
    """Names of the parameters that belong to adapters, in the order of ``network.named_parameters()``.

    This is the only answer to "is it an adapter?": freezing, saving and counting ask here.
    """
    names: set[str] = set()
    for prefix, module in network.named_modules():
        if isinstance(module, (BottleneckAdapter, Seams)):
            names.update(f"{prefix}.{name}" for name, _ in module.named_parameters())
    return [name for name, _ in network.named_parameters() if name in names]


def freeze_base(network: nn.Module) -> None:
    """Let only the adapters of ``network`` train."""
    adapters = set(adapter_names(network))
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(name in adapters)


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Count parameters.

    Returns:
        The number of trainable parameters and the number of all.
    """
    sizes = [(parameter.requires_grad, parameter.numel()) for parameter in network.parameters()]
    return sum(size for trains, size in sizes if trains), sum(size for _, size in sizes)


def base_fingerprint(network: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all weights that are not adapters.

    Two networks with the same fingerprint compute the same numbers before adaptation.

    Raises:
        ValueError: when the weights are on the ``meta`` device, where there is nothing to hash.
    """
    adapters = set(adapter_names(network))
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if name not in adapters:
            _update(digest, name, tensor)
    return digest.hexdigest()


def _update(digest: Any, name: str, tensor: Tensor) -> None:
    if tensor.is_meta:
        raise ValueError(f"{name} is on the meta device and has no values; load weights before saving adapters")
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
