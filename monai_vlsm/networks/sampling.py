# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A network in evaluation mode that draws at random, to ask it the same thing several times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from monai_vlsm.adapters import Noise
from monai_vlsm.errors import UserError

__all__ = ["NothingDrawsError", "sampling"]


class NothingDrawsError(UserError, ValueError):
    """A network was to draw at random, and nothing in it does."""


@contextmanager
def sampling(network: nn.Module) -> Iterator[None]:
    """Let a network draw: its dropout acts, and variational adapters draw their values; all else stays as it is.

    What is drawn follows from ``torch.manual_seed``. The network is changed for the time, so no other thread may use
    it; nothing that was encoded before (caches of prompts or features) may be used within either.

    Args:
        network: in evaluation mode.

    Raises:
        NothingDrawsError: when it has neither dropout nor a variational adapter.
    """
    drawing = [module for module in network.modules() if _draws(module) and not module.training]
    if not any(_draws(module) for module in network.modules()):
        raise NothingDrawsError(
            "nothing in this network draws at random, so asking it several times says nothing: it has neither dropout "
            "nor a variational adapter. Give it dropout (network.dropout.p = 0.1), or train CrossModalAdaptation or "
            "TelescopicAdaptation, which draw"
        )
    for module in drawing:
        module.training = True
    try:
        yield
    finally:
        for module in drawing:
            module.training = False


def _draws(module: nn.Module) -> bool:
    return isinstance(module, Noise) or (isinstance(module, nn.Dropout) and module.p > 0)
