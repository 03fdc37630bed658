# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adapters that may be shared: what was trained and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.backbones import known_backbones
from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, TrainedState, naming, read, seal, tensors_of
from monai_vlsm.io import save_atomically
from monai_vlsm.networks import build_network

__all__ = ["check_architecture", "is_shared_backbone", "public_settings", "read_adapters", "write_adapters"]


def read_adapters(path: str | Path) -> dict[str, Any]:
    """Read a ``model.pt`` with `monai_vlsm.checkpoints.read`, and check that it holds adapters.

    Raises:
        ModelNotFoundError: when there is no such file.
        ModelMismatchError: when it is refused there, or it has no base (a whole network), or no tensor.
    """
    state = read(path)
    base, network = state[SETTINGS_KEY]["base"], state[SETTINGS_KEY]["network"]
    if not re.fullmatch(r"[0-9a-f]{64}", base):
        raise ModelMismatchError(
            f"{path} holds a whole network ({network}), not adapters of a frozen base: its fingerprint of the base is "
            f"{base!r}. The Hub commands share adapters only; a whole bundle goes up with monai.bundle.push_to_hf_hub"
        )
    if not tensors_of(state):
        raise ModelMismatchError(f"{path} holds no tensor: nothing was trained")
    return state


def is_shared_backbone(backbone: str) -> bool:
    """Whether others can have this backbone under the same name; a local folder they cannot."""
    return backbone in (*known_backbones(), *known_backbones("san"))


def check_architecture(path: str | Path, state: Mapping[str, Any]) -> None:
    """Make sure that a file holds what its network trains, entry by entry, and so nothing of the base.

    The network is built without memory and weights, from the architecture that its settings name.

    Args:
        path: the file, for the message.
        state: what `read_adapters` returned.

    Raises:
        AdaptationNotImportedError: when the adaptation is of a module that is not imported.
        BackboneNotFoundError: when the backbone is a local folder that is not here.
        ModelMismatchError: when the settings make no network, or an entry is missing, too much, or of another shape.
    """
    with naming(path):
        TrainedState(build_network(state[SETTINGS_KEY], empty=True)).check_tensors(state)


def write_adapters(state: Mapping[str, Any], path: Path) -> None:
    """Write a ``model.pt`` anew: each tensor on its own, and the settings without the path of a local backbone.

    A tensor can be a view into memory that holds more, and saving it would save all of that.
    """
    tensors = {name: tensor.detach().clone().contiguous() for name, tensor in tensors_of(state).items()}
    save_atomically(seal({**tensors, SETTINGS_KEY: public_settings(state[SETTINGS_KEY])}), path)


def public_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that tell nothing of the machine: of a local backbone or decoder, only the name of its folder."""
    places = {key: settings[key] for key in ("backbone", "decoder") if key in settings}
    return {**settings, **{key: at if is_shared_backbone(at) else Path(at).name for key, at in places.items()}}
