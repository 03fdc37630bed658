# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether what an adaptation does to a network can be trained, saved and loaded; asked before anything is trained."""

from __future__ import annotations

from math import isfinite
from typing import Any

from torch import nn

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError
from monai_vlsm.adapters.kinds import build_adaptation
from monai_vlsm.adapters.targets import FeatureAdapters

__all__ = ["Installation"]


class Installation:
    """Puts an adaptation on a network and looks at what it has done.

    Args:
        adaptation: what shall be installed.
        network: the network as it is before.

    Raises:
        AdaptationError: when its settings are not plain values that make an equal one again.
    """

    def __init__(self, adaptation: Adaptation, network: nn.Module) -> None:
        self.adaptation, self._name = adaptation, type(adaptation).__name__
        self._state, self._buffers = set(network.state_dict()), _buffers(network)
        settings = adaptation.settings()
        if not _is_plain(settings) or not _makes_again(settings, adaptation):
            raise AdaptationError(
                f"the settings of {self._name} do not make it again: it must be a frozen dataclass whose fields are "
                f"plain values (finite numbers, texts, lists, None), none of them called type; got {settings}"
            )

    def added(self, network: nn.Module, feature_adapters: Any, text_layers: int | None = None) -> set[str]:
        """Names of the state that were added: they belong to ``model.pt``, whether they train or not.

        Args:
            network: the network with the adapters.
            feature_adapters: what ``install`` returned, a child of the network by now.
            text_layers: how many the text encoder has, if that is known.

        Raises:
            AdaptationError: when ``install`` returned no `FeatureAdapters` or some that want to see text layers that
                there are not, renamed weights of the network, or added buffers that no state holds.
        """
        state = set(network.state_dict())
        gone, hidden = sorted(self._state - state), sorted(_buffers(network) - self._buffers - state)
        if not isinstance(feature_adapters, FeatureAdapters):
            raise AdaptationError(
                f"{self._name}.install must return FeatureAdapters, got {type(feature_adapters).__name__}"
            )
        deepest = max(feature_adapters.text_layers, default=-1)
        if text_layers is not None and deepest >= text_layers:
            raise AdaptationError(
                f"{self._name} reads the text encoder up to its layer {deepest} (from 0), and it has {text_layers} "
                "layers; take another adaptation, or encoders='v'"
            )
        if gone:
            raise AdaptationError(
                f"{self._name}.install took away or renamed {len(gone)} weights of the network, the first is "
                f"{gone[0]}; add adapters as children beside them, with a forward hook (attach_adapter)"
            )
        if hidden:
            raise AdaptationError(
                f"{self._name}: model.pt cannot hold the buffer {hidden[0]}; register it without persistent=False"
            )
        return state - self._state


def _buffers(network: nn.Module) -> set[str]:
    return {name for name, _ in network.named_buffers()}


def _makes_again(settings: dict[str, Any], adaptation: Adaptation) -> bool:
    try:
        return build_adaptation(settings) == adaptation
    except ValueError:
        return False


def _is_plain(value: Any) -> bool:
    """Whether a file can hold a value that is read without running anything."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_plain(one) for key, one in value.items())
    if type(value) in (list, tuple):
        return all(_is_plain(one) for one in value)
    return value is None or type(value) in (bool, int, str) or (type(value) is float and isfinite(value))
