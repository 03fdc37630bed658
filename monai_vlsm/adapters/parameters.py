# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which entries of a network's state train, and what the rest of it is."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from monai_vlsm.errors import UserError

__all__ = [
    "NothingTrainsError",
    "base_fingerprint",
    "count_parameters",
    "find_trained",
    "tensors_digest",
    "trainable_parameters",
]


class NothingTrainsError(UserError, ValueError):
    """Training was asked of a network without a trainable parameter."""


def find_trained(network: nn.Module) -> tuple[str, ...]:
    """Names of the parameters that require gradients, and of the buffers of the modules that hold one.

    This is the only answer to "does it train?": saving, loading and the fingerprint of the base go by it.

    Returns:
        Names in the order of ``network.state_dict()``.
    """
    names: set[str] = set()
    for prefix, module in network.named_modules():
        own = [name for name, parameter in module.named_parameters(recurse=False) if parameter.requires_grad]
        if own:
            buffers = [name for name, _ in module.named_buffers(recurse=False)]
            names.update(f"{prefix}.{name}".lstrip(".") for name in (*own, *buffers))
    return tuple(name for name in network.state_dict() if name in names)


def trainable_parameters(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that an optimizer should get.

    Raises:
        NothingTrainsError: when there is none.
    """
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if not parameters:
        raise NothingTrainsError(
            "no parameter of this network trains, so there is nothing to optimise. Choose adapters or a part to train, "
            "or run the network as it is:  --config_file \"['configs/train.json','configs/evaluate.json']\" "
            "--zero_shot True"
        )
    return parameters


def count_parameters(network: nn.Module) -> tuple[int, int]:
    """Count parameters.

    Returns:
        The number of trainable parameters and the number of all.
    """
    sizes = [(parameter.requires_grad, parameter.numel()) for parameter in network.parameters()]
    return sum(size for trains, size in sizes if trains), sum(size for _, size in sizes)


def base_fingerprint(network: nn.Module, trained: Collection[str]) -> str:
    """SHA-256 over the names, types, shapes and bytes of all weights that do not train.

    Two networks with the same fingerprint compute the same numbers before training.

    Args:
        network: any network.
        trained: the names of its state that train.

    Returns:
        The digest in hexadecimal; an empty string when everything trains.

    Raises:
        ValueError: when the weights are on the ``meta`` device, where there is nothing to hash.
    """
    left_out = set(trained)
    base = {name: tensor for name, tensor in network.state_dict().items() if name not in left_out}
    return tensors_digest(base) if base else ""


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and bytes of tensors, in hexadecimal; their order does not count.

    Raises:
        ValueError: when one is on the ``meta`` device, where there is nothing to hash.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        _update(digest, name, tensor)
    return digest.hexdigest()


def _update(digest: Any, name: str, tensor: Tensor) -> None:
    if tensor.is_meta:
        raise ValueError(f"{name} is on the meta device and has no values; load weights before saving")
    digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(tensor_bytes(tensor))


def tensor_bytes(tensor: Tensor) -> Any:
    """The values of a tensor as a buffer, copied only where they do not lie one after the other on the CPU."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
