# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Frozen weights as mixed precision uses them, so that they are not rounded anew in each forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from monai_vlsm.adapters import base_fingerprint

__all__ = ["round_frozen"]

# what autocast rounds the weights of to 16 bits whenever it is called, if they do not train
ROUNDED = (nn.Linear, nn.Conv2d)


def round_frozen(network: Any, dtype: torch.dtype | str | bool) -> int:
    """Keep the frozen weights that autocast rounds in 16 bits, where they are; for a network that runs under autocast.

    The numbers stay the same to the bit. What trains stays float32, and so do norms, embeddings and the decoder, which
    calculate in it. The fingerprints of the base remain those of its float32 weights, and a ``model.pt`` has none of
    the weights that are rounded.

    Args:
        network: a `monai_vlsm.networks.PromptedNet` whose weights are loaded, or its DistributedDataParallel wrapper.
        dtype: of the mixed precision; False where there is none, which leaves all as it is.

    Returns:
        How many weights were rounded.
    """
    if dtype is False:
        return 0
    inner = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
    kind = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    found = list(_rounded(inner))
    if found and not inner.float32_fingerprints:
        parts = {encoder: base_fingerprint(inner.module_of(encoder), ()) for encoder in sorted(inner.frozen_encoders)}
        inner.float32_fingerprints = {"": base_fingerprint(inner, inner.trained_names), **parts}
    for parameter in found:
        parameter.data = parameter.data.to(kind)
    return sum(parameter.numel() for parameter in found)


def _rounded(network: Any) -> Iterator[nn.Parameter]:
    """Weights of linear layers and convolutions of the encoders that neither train nor are saved."""
    saved = {id(parameter) for name, parameter in network.named_parameters() if name in set(network.trained_names)}
    for module in (one for encoder in network.half_modules() for one in encoder.modules()):
        if isinstance(module, ROUNDED) and not list(module.children()):  # an adapter of its own may read the weight
            for parameter in module.parameters(recurse=False):
                if not parameter.requires_grad and id(parameter) not in saved:
                    yield parameter
