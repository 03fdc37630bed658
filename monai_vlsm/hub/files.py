# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adapter files that may be shared: tensors and plain values, what was trained and nothing else."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monai_vlsm.adapters import SETTINGS_KEY, ModelMismatchError, ModelNotFoundError, build_adaptation
from monai_vlsm.backbones import known_backbones
from monai_vlsm.networks import CLIPSegNet, PromptedNet, SANNet

__all__ = ["AdapterFile", "check_architecture", "is_shared_backbone", "read_adapters", "write_adapters"]

_FORMAT = 1
_NETWORKS: dict[str, Callable[..., PromptedNet]] = {"CLIPSegNet": CLIPSegNet, "SANNet": SANNet}
_NEEDED = {"network": str, "backbone": str, "base": str, "image_size": int}
_NOT_ARGUMENTS = {"format", "network", "base", "default_prompt", "existence_threshold"}


@dataclass(frozen=True)
class AdapterFile:
    """What a ``model.pt`` holds.

    Args:
        tensors: name to tensor, all that was trained.
        settings: plain values: network, backbone, fingerprint of the base, adaptation, image size, ...
    """

    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any]

    @property
    def parameters(self) -> int:
        """How many numbers the tensors hold."""
        return sum(tensor.numel() for tensor in self.tensors.values())


def read_adapters(path: str | Path) -> AdapterFile:
    """Read a ``model.pt`` without running anything that it may hold, and check that it holds adapters.

    Raises:
        ModelNotFoundError: when there is no such file.
        ModelMismatchError: when it holds pickled code or other objects, is damaged, has no settings, has no base
            (a whole network), or no tensor.
    """
    if not Path(path).is_file():
        raise ModelNotFoundError(f"no adapters at {path}; give a model.pt, as training leaves it in models/")
    content = _load(Path(path))
    if not isinstance(content, dict) or not isinstance(content.get(SETTINGS_KEY), dict):
        raise ModelMismatchError(f"{path} is not a model file of monai_vlsm: the entry {SETTINGS_KEY!r} is missing")
    settings = content.pop(SETTINGS_KEY)
    _check_settings(path, settings)
    _check_tensors(path, content)
    return AdapterFile(content, settings)


def _load(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelMismatchError(
            f"{path} holds more than tensors and plain values: code that would run on loading, or an object. It was "
            f"not run. Give a model.pt as training writes it. ({_reason(error)})"
        ) from error
    except Exception as error:  # torch raises many kinds; each means that this is not one of our files
        raise ModelMismatchError(
            f"{path} cannot be read, it is damaged or of another kind: {type(error).__name__}: {_reason(error)}"
        ) from error


def _reason(error: Exception) -> str:
    """The line of torch's long text that names what is wrong."""
    found = re.search(r"WeightsUnpickler error: ([^\n]+)", str(error))
    return (found.group(1) if found else str(error).partition("\n")[0])[:200]


def _check_settings(path: str | Path, settings: Mapping[str, Any]) -> None:
    if settings.get("format") != _FORMAT:
        raise ModelMismatchError(
            f"{path} has format {settings.get('format')!r}, this version reads {_FORMAT}; update monai_vlsm"
        )
    for name, kind in _NEEDED.items():
        if not isinstance(settings.get(name), kind):
            raise ModelMismatchError(f"{path} does not say which {name} it belongs to; it is damaged or not ours")
    if not re.fullmatch(r"[0-9a-f]{64}", settings["base"]):
        raise ModelMismatchError(
            f"{path} holds a whole network ({settings['network']}), not adapters of a frozen base: its fingerprint of "
            f"the base is {settings['base']!r}. The Hub commands share adapters only; a whole bundle goes up with "
            "monai.bundle.push_to_hf_hub"
        )
    try:
        json.dumps(dict(settings))
    except (TypeError, ValueError) as error:
        raise ModelMismatchError(f"{path}: its settings are more than plain values: {error}") from error


def _check_tensors(path: str | Path, tensors: Mapping[Any, Any]) -> None:
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise ModelMismatchError(
                f"{path} holds {type(value).__name__} under {name!r}; expected tensors and nothing else. "
                "Give a model.pt, not last.pt or a checkpoint of another program"
            )
    if not tensors:
        raise ModelMismatchError(f"{path} holds no tensor: nothing was trained")


def is_shared_backbone(backbone: str) -> bool:
    """Whether others can have this backbone under the same name; a local folder they cannot."""
    return backbone in (*known_backbones(), *known_backbones("san"))


def check_architecture(path: str | Path, adapters: AdapterFile) -> None:
    """Make sure that a file holds what its network trains, entry by entry, and so nothing of the base.

    The network is built without memory and weights, from the architecture that its settings name.

    Args:
        path: the file, for the message.
        adapters: what it holds.

    Raises:
        ModelMismatchError: when the settings make no network, or an entry is missing, too much, or of another shape.
        BackboneNotFoundError: when the backbone is a local folder that is not here.
    """
    network = _network(path, adapters.settings)
    state, trained = network.state_dict(), set(network.trained_names)
    if set(adapters.tensors) & (set(state) - trained):
        held = len(set(adapters.tensors) & (set(state) - trained))
        raise ModelMismatchError(
            f"{path} holds {held} weights of the frozen base too, which must not be shared; "
            "give the model.pt that training wrote, with adapters only"
        )
    missing, unexpected = sorted(trained - set(adapters.tensors)), sorted(set(adapters.tensors) - trained)
    if missing or unexpected:
        raise ModelMismatchError(
            f"{path} does not fit its own settings: {len(missing)} entries missing {missing[:3]}, "
            f"{len(unexpected)} unexpected {unexpected[:3]}. The file is damaged"
        )
    for name, tensor in adapters.tensors.items():
        if tensor.shape != state[name].shape:
            raise ModelMismatchError(
                f"{path}: {name} must be {tuple(state[name].shape)}, the file has {tuple(tensor.shape)}"
            )


def _network(path: str | Path, settings: Mapping[str, Any]) -> PromptedNet:
    kind = _NETWORKS.get(settings["network"])
    if kind is None:
        raise ModelMismatchError(f"{path}: unknown network {settings['network']!r}; known: {', '.join(_NETWORKS)}")
    arguments: dict[str, Any] = {name: value for name, value in settings.items() if name not in _NOT_ARGUMENTS}
    try:
        if "adaptation" in arguments:
            arguments["adaptation"] = build_adaptation(arguments["adaptation"])
        with torch.device("meta"):
            return kind(**arguments, load_weights=False)
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelMismatchError(f"{path}: its settings make no network: {error}") from error


def write_adapters(adapters: AdapterFile, path: Path) -> None:
    """Write a ``model.pt`` anew: each tensor on its own, and the settings without the path of a local backbone.

    A tensor can be a view into memory that holds more, and saving it would save all of that.
    """
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in adapters.tensors.items()}
    torch.save({**tensors, SETTINGS_KEY: public_settings(adapters.settings)}, path)


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that tell nothing of the machine: of a local backbone, only the name of its folder."""
    backbone = settings["backbone"]
    return {**settings, "backbone": backbone if is_shared_backbone(backbone) else Path(backbone).name}
