# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adapter-only checkpoints: what a file of adapters must say about its network, and the checks on loading it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_vlsm.adapters.adaptation import Adaptation
from monai_vlsm.adapters.dense import DenseAdaptation
from monai_vlsm.adapters.parameters import adapter_names, base_fingerprint
from monai_vlsm.errors import UserError

__all__ = [
    "SETTINGS_KEY",
    "AdapterMismatchError",
    "AdapterState",
    "AdaptersNotFoundError",
    "build_adaptation",
    "load_adapters",
    "read_adapter_settings",
]

SETTINGS_KEY = "monai_vlsm"
"""Key of the settings in an adapter file; every other key is the name of a parameter of the network."""

_ADAPTATIONS: dict[str, type[Adaptation]] = {kind.__name__: kind for kind in (Adaptation, DenseAdaptation)}


class AdapterMismatchError(UserError, ValueError):
    """An adapter file does not belong to the network that it is loaded into."""


class AdaptersNotFoundError(UserError, FileNotFoundError):
    """There is no adapter file where one is expected."""


def build_adaptation(settings: Mapping[str, Any]) -> Adaptation:
    """Make an adaptation from what `Adaptation.settings` returned.

    Raises:
        ValueError: when its ``type`` is unknown.
    """
    arguments = dict(settings)
    kind = arguments.pop("type", None)
    if kind not in _ADAPTATIONS:
        raise ValueError(f"unknown adaptation {kind!r}; known: {', '.join(sorted(_ADAPTATIONS))}")
    return _ADAPTATIONS[kind](**arguments)


def read_adapter_settings(path: str | Path) -> dict[str, Any] | None:
    """Read what an adapter file says about its network, without building it.

    Args:
        path: a ``model.pt``.

    Returns:
        The settings (``backbone``, ``base``, ``adaptation``, ``image_size``, ``default_prompt``), or None when there
        is no such file.

    Raises:
        AdapterMismatchError: when the file is not an adapter file.
    """
    if not Path(path).is_file():
        return None
    try:
        settings = torch.load(path, map_location="cpu", weights_only=True)[SETTINGS_KEY]
    except Exception as error:  # torch raises many kinds; each means that this is not one of our files
        reason = str(error).partition("\n")[0]
        raise AdapterMismatchError(
            f"{path} is not an adapter file of monai_vlsm: expected tensors and the entry {SETTINGS_KEY!r}, "
            f"got {type(error).__name__}: {reason}. Train adapters again or give another file"
        ) from error
    return settings


class AdapterState:
    """The adapters of a network as an object with ``state_dict`` and ``load_state_dict``.

    Give it to handlers that save or load: ``CheckpointSaver(save_dict={"model": AdapterState(network)})``. The state is
    flat, the name of each adapter parameter to its tensor, plus `SETTINGS_KEY` to plain values, so it loads with
    ``torch.load(weights_only=True)`` and with MONAI's own loaders.

    Args:
        network: a network with adapters and a method ``settings()`` that returns plain values, at least ``backbone``,
            ``adaptation``, ``image_size`` and ``default_prompt``; or its DistributedDataParallel wrapper.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network

    @cached_property
    def fingerprint(self) -> str:
        """`base_fingerprint` of the network, computed once: the base is frozen."""
        return base_fingerprint(self.network)

    def state_dict(self) -> dict[str, Any]:
        """Tensors of the adapters on the CPU, and the settings under `SETTINGS_KEY`."""
        state = self.network.state_dict()
        tensors: dict[str, Any] = {name: state[name].detach().cpu().clone() for name in adapter_names(self.network)}
        return {**tensors, SETTINGS_KEY: {"format": 1, "base": self.fingerprint, **self._settings()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy adapters into the network, after checking that they belong to it.

        Raises:
            AdapterMismatchError: when base, adaptation, keys or shapes differ. The message says which.
        """
        tensors = {name: value for name, value in state.items() if name != SETTINGS_KEY}
        self._check_settings(state.get(SETTINGS_KEY))
        self._check_tensors(tensors)
        nn.Module.load_state_dict(self.network, tensors, strict=False)

    def _settings(self) -> dict[str, Any]:
        network: Any = self.network
        return network.settings()

    def _check_settings(self, saved: Mapping[str, Any] | None) -> None:
        if saved is None:
            raise AdapterMismatchError(f"not an adapter file: the entry {SETTINGS_KEY!r} is missing")
        mine = self._settings()
        if saved["adaptation"] != mine["adaptation"]:
            raise AdapterMismatchError(
                f"adapters of another adaptation: the file was trained with {saved['adaptation']} "
                f"(base {saved['base'][:12]}), this network has {mine['adaptation']} (base {self.fingerprint[:12]}). "
                "Build the network with the file's adaptation"
            )
        if saved["base"] != self.fingerprint:
            raise AdapterMismatchError(
                f"adapters of another base: the file was trained on {saved['backbone']} with fingerprint "
                f"{saved['base'][:12]}, this network is {mine['backbone']} with fingerprint {self.fingerprint[:12]}. "
                "Load them on the backbone that they were trained on"
            )

    def _check_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        own = dict(self.network.named_parameters())
        expected = set(adapter_names(self.network))
        missing, unexpected = sorted(expected - set(tensors)), sorted(set(tensors) - expected)
        if missing or unexpected:
            raise AdapterMismatchError(
                f"adapter file with {len(missing)} missing and {len(unexpected)} unexpected entries: "
                f"missing {missing[:3]}, unexpected {unexpected[:3]}. The file is damaged or of another network"
            )
        for name, value in tensors.items():
            if value.shape != own[name].shape:
                raise AdapterMismatchError(
                    f"{name} must be {tuple(own[name].shape)}, the adapter file has {tuple(value.shape)}"
                )


def load_adapters(network: nn.Module, path: str | Path) -> None:
    """Load an adapter file into the network that it belongs to.

    Args:
        network: a network with adapters, or its DistributedDataParallel wrapper.
        path: a ``model.pt``.

    Raises:
        AdaptersNotFoundError: when there is no such file; the error says how to make it.
        AdapterMismatchError: when the file belongs to another network.
    """
    if not Path(path).is_file():
        raise AdaptersNotFoundError(
            f"no trained adapters at {path}. Train them:\n"
            "  python -m monai.bundle run --config_file bundles/vlsm_dense/configs/train.json\n"
            "or run the base without adapters (zero-shot): add  --zero_shot True"
        )
    AdapterState(network).load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
