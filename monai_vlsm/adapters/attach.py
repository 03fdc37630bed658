# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Put an adapter behind or beside a module of a frozen network, without touching that network's code or its keys."""

from __future__ import annotations

from typing import Any

from torch import nn

from monai_vlsm.adapters.adaptation import AdaptationError

__all__ = ["attach_adapter", "attach_beside"]

_CHILD = "adapter"


def attach_adapter(module: nn.Module, adapter: nn.Module) -> None:
    """Make ``module`` pass its output through ``adapter``.

    The adapter becomes the child ``module.adapter`` and a forward hook calls it, so the keys of ``module`` stay as they
    are. The hook is a function of this file and finds the adapter on the module that it runs on: copies made by
    ``copy.deepcopy`` use their own adapter, and ``torch.compile`` and ``torch.jit.trace`` see plain code.

    Args:
        module: any module that returns a tensor ``(..., width)``, or a tuple that starts with one.
        adapter: module that maps ``(..., width)`` to ``(..., width)``.

    Raises:
        AdaptationError: when ``module`` already carries an adapter.
    """
    _add(module, adapter)
    module.register_forward_hook(_adapt_output)


def attach_beside(module: nn.Module, adapter: nn.Module) -> None:
    """Make ``module`` return what ``adapter`` makes of its weights, input and output; else as `attach_adapter`.

    Args:
        module: any module that is called with one tensor ``(..., input)`` and returns a tensor ``(..., width)``.
        adapter: module that is called with ``module``, the input and the output, and returns ``(..., width)``.

    Raises:
        AdaptationError: when ``module`` already carries an adapter.
    """
    _add(module, adapter)
    module.register_forward_hook(_adapt_beside)


def _add(module: nn.Module, adapter: nn.Module) -> None:
    if hasattr(module, _CHILD):
        raise AdaptationError(
            f"{type(module).__name__} already carries an adapter; build a new network to use another adaptation, and "
            "combine only adaptations that sit in different places"
        )
    module.add_module(_CHILD, adapter)


def _adapt_output(module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
    adapter = getattr(module, _CHILD)
    if isinstance(output, tuple):  # transformers' attention returns (states, weights)
        return (adapter(output[0]), *output[1:])
    return adapter(output)


def _adapt_beside(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
    return getattr(module, _CHILD)(module, args[0], output)
