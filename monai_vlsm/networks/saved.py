# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The network that a ``model.pt`` belongs to, built from the file alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.adapters import ModelMismatchError, ModelNotFoundError, build_adaptation, load_trained, read_settings
from monai_vlsm.errors import UserError
from monai_vlsm.networks.clipseg import CLIPSegNet
from monai_vlsm.networks.cris import CRISNet
from monai_vlsm.networks.prompted import PromptedNet
from monai_vlsm.networks.san import SANNet
from monai_vlsm.networks.unet import TargetUNet

__all__ = ["build_network", "load_network"]

_KINDS: dict[str, type[PromptedNet]] = {kind.__name__: kind for kind in (CLIPSegNet, CRISNet, SANNet, TargetUNet)}


def build_network(settings: Mapping[str, Any], backbone: str | Path | None = None) -> PromptedNet:
    """Build the network that settings describe; what was trained is not loaded yet.

    Weights of the frozen base are read where there is one; a network that was trained as a whole begins at random.

    Args:
        settings: what `monai_vlsm.adapters.read_settings` returned.
        backbone: where the base is on this machine, if not where the settings say: a folder in Hugging Face layout.

    Raises:
        BackboneNotFoundError: when the base cannot be had.
        ModelMismatchError: when the settings describe no network of this package.
    """
    if settings["network"] not in _KINDS:
        raise ModelMismatchError(
            f"a model of another network: {settings['network']!r}, known are {', '.join(_KINDS)}. "
            "Get a newer monai_vlsm, or give another file"
        )
    try:
        return _KINDS[settings["network"]](**_arguments(settings, backbone))
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise ModelMismatchError(f"the settings of the model file fit no {settings['network']}: {error}") from error


def _arguments(settings: Mapping[str, Any], backbone: str | Path | None) -> dict[str, Any]:
    known = inspect.signature(_KINDS[settings["network"]]).parameters
    arguments = {key: value for key, value in settings.items() if key in known}
    if "adaptation" in arguments:
        arguments["adaptation"] = build_adaptation(arguments["adaptation"])
    if "load_weights" in known:
        arguments["load_weights"] = bool(settings["base"])
    if backbone is not None:
        arguments["backbone"] = backbone
    return arguments


def load_network(file: str | Path, backbone: str | Path | None = None) -> PromptedNet:
    """Build the network that a ``model.pt`` belongs to and load the file, in evaluation mode on the CPU.

    Args:
        file: a ``model.pt``.
        backbone: where the base is on this machine, if not where the file says.

    Raises:
        BackboneNotFoundError: when the base cannot be had.
        ModelMismatchError: when the file is none, is damaged, or was trained on another base.
        ModelNotFoundError: when there is no such file.
    """
    settings = read_settings(file)
    if settings is None:
        raise ModelNotFoundError(f"no trained model at {file}; give the path of a model.pt")
    network = build_network(settings, backbone)
    load_trained(network, file)
    return network.eval()
