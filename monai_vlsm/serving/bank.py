# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""One frozen base in memory, and many trained models on it."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from monai_vlsm.adapters import base_fingerprint
from monai_vlsm.checkpoints import SETTINGS_KEY, TrainedState, naming, read
from monai_vlsm.errors import UserError
from monai_vlsm.networks import CLIPSegNet, CRISNet, PromptedNet, SANNet, build_network, network_class

__all__ = ["AdapterBank", "AdapterNameError"]


class AdapterNameError(UserError, LookupError):
    """A name is taken, or no model of this name is loaded."""


class _Loaded(NamedTuple):
    network: PromptedNet
    settings: dict[str, Any]
    size: int


_Kind: TypeAlias = tuple[type[PromptedNet], str | None]
"""The class of a network, and where its decoder comes from if not from the backbone."""


class AdapterBank:
    """Trained models side by side, which share the memory of the base that they were trained on.

    Each model is a network of its own: a tree of modules whose frozen weights lie in the memory of the base, with the
    adapters of its file. Nothing is switched, so to change from one to another is to take another entry of a dict, and
    requests that run at the same time share nothing that is written. All methods can be called from any thread.

    Weights that were trained in place of adapters (decoder, side network, all of CRIS) take memory for each model.

    Args:
        backbone: a name from `monai_vlsm.backbones.known_backbones`, or a local folder.
        device: where base and adapters are.

    Raises:
        BackboneNotFoundError: when the backbone is unknown or its weights cannot be had.
        BackboneWeightsError: when they are damaged or of another model.
    """

    def __init__(self, backbone: str | Path, device: torch.device | str = "cpu") -> None:
        self.backbone = str(backbone)
        self.device = torch.device(device)
        self._bases: dict[_Kind, dict[str, Tensor]] = {}  # one, but for decoders that come from elsewhere
        self._base_memory: dict[int, int] = {}
        self._base_of((network_class(backbone), None))
        self._fingerprints: dict[tuple[_Kind, frozenset[str]], str] = {}
        self._loaded: dict[str, _Loaded] = {}  # replaced, never changed: who reads it needs no lock
        self._lock = threading.Lock()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the loaded models, in the order of loading."""
        return tuple(self._loaded)

    def __contains__(self, name: object) -> bool:
        return name in self._loaded

    def load(self, name: str, file: str | Path) -> None:
        """Load a ``model.pt``. Models that are loaded already go on working meanwhile.

        Args:
            name: what to call it.
            file: a ``model.pt`` that was trained on this backbone, wherever the backbone was then.

        Raises:
            AdapterNameError: when the name is taken.
            ModelNotFoundError: when there is no such file.
            ModelMismatchError: when it is no model file, is damaged, or belongs to another network or base. Then
                nothing is kept.
        """
        self._check_free(name)
        loaded = self._read(file)
        with self._lock:
            self._check_free(name)
            self._loaded = {**self._loaded, name: loaded}

    def unload(self, name: str) -> None:
        """Forget a model. Its memory is free when the last request that uses it has ended.

        Raises:
            AdapterNameError: when there is none of this name.
        """
        with self._lock:
            self._find(name)
            self._loaded = {other: loaded for other, loaded in self._loaded.items() if other != name}

    def network(self, name: str) -> PromptedNet:
        """The network of a model, in evaluation mode, without gradients.

        Several threads may run it at the same time. Do not change it: no ``train()``, no ``to()``.

        Raises:
            AdapterNameError: when there is none of this name.
        """
        return self._find(name).network

    def settings(self, name: str) -> dict[str, Any]:
        """A copy of what the file says about its network, see `monai_vlsm.checkpoints.read`.

        Raises:
            AdapterNameError: when there is none of this name.
        """
        return copy.deepcopy(self._find(name).settings)

    def memory(self) -> dict[str, Any]:
        """Bytes that the weights take: ``{"base": bytes, "adapters": {name: bytes}}``."""
        adapters = {name: loaded.size for name, loaded in self._loaded.items()}
        return {"base": sum(self._base_memory.values()), "adapters": adapters}

    def _find(self, name: str) -> _Loaded:
        loaded = self._loaded.get(name)
        if loaded is None:
            raise AdapterNameError(f"no model is called {name!r}; loaded: {', '.join(self.names) or 'none'}")
        return loaded

    def _check_free(self, name: str) -> None:
        if name in self._loaded:
            raise AdapterNameError(f"the name {name!r} is taken; unload that model first, or take another name")

    def _read(self, file: str | Path) -> _Loaded:
        state = read(file)
        settings = state[SETTINGS_KEY]
        with naming(file):
            network = build_network(settings, self.backbone, empty=True).requires_grad_(False)
            kind = type(network), settings.get("decoder")
            trained, base = set(network.trained_names), self._base_of(kind)
            _fill(network, {name: tensor for name, tensor in base.items() if name not in trained})
            TrainedState(network, self._fingerprint(network, kind)).check(state)
        _fill(network, self._own_copies(network, state))
        network.default_input_ids = network.default_input_ids.to(self.device)
        return _Loaded(network, settings, self._own_size(network))

    def _base_of(self, kind: _Kind) -> dict[str, Tensor]:
        if kind not in self._bases:
            self._bases[kind] = _frozen_tensors(self.backbone, self.device, kind)
            self._base_memory |= _storages(self._bases[kind].values())
        return self._bases[kind]

    def _fingerprint(self, network: PromptedNet, kind: _Kind) -> str:
        """Fingerprint of the base: once for adapters, and once for each part of it that a file may replace."""
        key = kind, frozenset(self._bases[kind]).intersection(network.trained_names)
        if key not in self._fingerprints:
            self._fingerprints[key] = base_fingerprint(network, network.trained_names)
        return self._fingerprints[key]

    def _own_copies(self, network: PromptedNet, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        types = {name: tensor.dtype for name, tensor in network.state_dict().items()}
        return {
            name: state[name].to(self.device, types[name], copy=True, memory_format=torch.contiguous_format)
            for name in network.trained_names
        }

    def _own_size(self, network: PromptedNet) -> int:
        storages = _storages(itertools.chain(network.parameters(), network.buffers()))
        return sum(size for address, size in storages.items() if address not in self._base_memory)


def _frozen_tensors(backbone: str | Path, device: torch.device, network_kind: _Kind) -> dict[str, Tensor]:
    """What networks on one backbone have in common, by the names in a network: of CLIPSeg all, of SAN its CLIP.

    Of CRIS and the U-Net, which train from end to end, that is a few constants.
    """
    kind: Any = network_kind[0]
    # with this fusion no part of CLIP trains; all of CRIS does, so a model file replaces all
    variants: dict[Any, dict[str, Any]] = {SANNet: {"fusion": "official"}, CRISNet: {"load_weights": False}}
    variants[CLIPSegNet] = {"decoder": network_kind[1]}
    network = kind(backbone, **variants.get(kind, {})).to(device)
    own = {*network.trained_names, "default_input_ids"}
    tensors = {**dict(network.named_buffers()), **network.state_dict()}
    return {name: tensor.detach() for name, tensor in tensors.items() if name not in own}


def _fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give entries of an empty network values. Memory is shared, but each parameter is an object of its own.

    So to move one network to another device or type leaves the others as they are.
    """
    nn.Module.load_state_dict(network, tensors, strict=False, assign=True)
    for name, buffer in [*network.named_buffers()]:
        if buffer.is_meta and name in tensors:  # one that no state holds
            owner, _, own = name.rpartition(".")
            setattr(network.get_submodule(owner), own, tensors[name])


def _storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Bytes of each piece of memory that tensors lie in, by its address."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return {storage.data_ptr(): storage.nbytes() for storage in storages}
