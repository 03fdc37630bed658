# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adapter files that may be shared: tensors and plain values, what was trained and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_vlsm.backbones import known_backbones
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, read, seal
from monai_vlsm.io import save_atomically
from monai_vlsm.networks import PromptedNet, empty_network, network_class

__all__ = ["AdapterFile", "check_architecture", "is_shared_backbone", "read_adapters", "write_adapters"]


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
        ModelMismatchError: when `monai_vlsm.checkpoints.read` refuses it, or it has no base (a whole network), or
            no tensor.
    """
    tensors = read(path)
    settings = tensors.pop(SETTINGS_KEY)
    if not re.fullmatch(r"[0-9a-f]{64}", settings["base"]):
        raise ModelMismatchError(
            f"{path} holds a whole network ({settings['network']}), not adapters of a frozen base: its fingerprint of "
            f"the base is {settings['base']!r}. The Hub commands share adapters only; a whole bundle goes up with "
            "monai.bundle.push_to_hf_hub"
        )
    if not tensors:
        raise ModelMismatchError(f"{path} holds no tensor: nothing was trained")
    return AdapterFile(tensors, settings)


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
    try:
        if network_class(settings["backbone"]).__name__ != settings["network"]:
            raise ValueError(f"{settings['network']} does not run on {settings['backbone']}")
        return empty_network(settings, settings["backbone"])
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelMismatchError(f"{path}: its settings make no network: {error}") from error


def write_adapters(adapters: AdapterFile, path: Path) -> None:
    """Write a ``model.pt`` anew: each tensor on its own, and the settings without the path of a local backbone.

    A tensor can be a view into memory that holds more, and saving it would save all of that.
    """
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in adapters.tensors.items()}
    save_atomically(seal({**tensors, SETTINGS_KEY: public_settings(adapters.settings)}), path)


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that tell nothing of the machine: of a local backbone, only the name of its folder."""
    backbone = settings["backbone"]
    return {**settings, "backbone": backbone if is_shared_backbone(backbone) else Path(backbone).name}
