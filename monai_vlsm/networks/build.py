# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The network that a ``model.pt`` belongs to, built from what the file says; with weights or without memory."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from monai_vlsm.adapters import AdaptationError, build_adaptation
from monai_vlsm.backbones import BackboneConfigError, backbone_type, load_config
from monai_vlsm.checkpoints import (
    REMEMBERED,
    SETTINGS_KEY,
    ModelMismatchError,
    TrainedState,
    naming,
    read,
    verify_settings,
)
from monai_vlsm.errors import UserError
from monai_vlsm.networks.bases import own_statistics
from monai_vlsm.networks.clipseg import CLIPSegNet
from monai_vlsm.networks.cris import CRISNet
from monai_vlsm.networks.faults import ImageSizeError
from monai_vlsm.networks.prompted import PromptedNet
from monai_vlsm.networks.san import SANNet
from monai_vlsm.networks.unet import TargetUNet

__all__ = ["build_network", "image_statistics", "load_network", "network_class"]

_CLASSES: dict[str, tuple[type[PromptedNet], ...]] = {  # by the type of a backbone; the first if nothing says which
    "clipseg": (CLIPSegNet,),
    "clip": (SANNet, CLIPSegNet),
    "san": (SANNet,),
    "cris": (CRISNet,),
    "unet": (TargetUNet,),
}
# settings that are no arguments of a constructor
_NO_ARGUMENTS = {"format", "base", "network", "backbone", "existence_threshold", "temperature", *REMEMBERED}


def image_statistics(backbone: str | Path) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and deviation (red, green, blue; 0..1) that the images for a backbone are normalised with.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
        BackboneConfigError: when a folder holds another kind of model.
    """
    kind = network_class(backbone)
    own = own_statistics(load_config(backbone)) if kind is CLIPSegNet else None
    return own or (kind.image_mean, kind.image_std)


def network_class(backbone: str | Path) -> type[PromptedNet]:
    """The class of the networks that are trained on a backbone; a folder with a CLIPSeg counts for `CLIPSegNet`.

    A plain CLIP serves two: `SANNet`, which is returned, and `CLIPSegNet`, which puts the decoder of CLIPSeg on it.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
        BackboneConfigError: when a folder holds another kind of model.
    """
    return _classes(backbone)[0]


def _classes(backbone: str | Path) -> tuple[type[PromptedNet], ...]:
    kind = backbone_type(backbone)
    if kind not in _CLASSES:
        raise BackboneConfigError(
            f"{backbone}: no network is made for a model of type {kind!r}; known: {', '.join(_CLASSES)}"
        )
    return _CLASSES[kind]


def build_network(
    settings: Mapping[str, Any], backbone: str | Path | None = None, *, empty: bool = False
) -> PromptedNet:
    """Build the network that settings describe, in evaluation mode; what was trained is not loaded yet.

    Args:
        settings: what `monai_vlsm.checkpoints.read_settings` returned.
        backbone: where the base is on this machine, if not where the settings say: a folder in Hugging Face layout.
        empty: False reads the weights of the frozen base where there is one; a network that was trained as a whole
            begins at random. True builds it on torch's ``meta`` device: it takes next to no memory, reads no weight
            file, and only the tokens of the default prompt have values.

    Raises:
        BackboneNotFoundError: when the base cannot be had.
        AdaptationNotImportedError: when the adaptation is of a module that is not imported.
        ModelMismatchError: when the settings describe no network of this package, or none on this backbone.
    """
    verify_settings(settings)
    place = settings["backbone"] if backbone is None else backbone
    arguments = {name: value for name, value in settings.items() if name not in _NO_ARGUMENTS}
    if arguments.get("adaptation") is not None:
        arguments["adaptation"] = build_adaptation(arguments["adaptation"])
    kind = _class_for(settings, place)
    if kind is not TargetUNet:  # which has no weights to begin with
        arguments["load_weights"] = bool(settings["base"]) and not empty
    try:
        with torch.device("meta") if empty else nullcontext():
            network = kind(place, **arguments)
    except Exception as error:  # the settings are those of a file, and can be anything
        if isinstance(error, UserError) and not isinstance(error, ImageSizeError | AdaptationError):
            raise
        raise ModelMismatchError(
            f"a model file whose settings fit no {kind.__name__} on {place}: {error}. The file is damaged, or was made "
            "by another version of monai_vlsm"
        ) from error
    network.existence_threshold = float(settings.get("existence_threshold", 0.0))
    network.temperature = float(settings.get("temperature", 1.0))
    for name in REMEMBERED:
        setattr(network, name, settings.get(name))
    return network.eval()


def _class_for(settings: Mapping[str, Any], backbone: str | Path) -> Any:
    """The class that the settings name, if it runs on the backbone."""
    try:
        kinds = {kind.__name__: kind for kind in _classes(backbone)}
    except ValueError as error:
        raise ModelMismatchError(f"a model of another backbone: {error}") from error
    if settings["network"] not in kinds:
        raise ModelMismatchError(
            f"a model of another network: the file was trained with {settings['network']} on {settings['backbone']} "
            f"(base {settings['base'][:12]}), {backbone} is for {' and '.join(kinds)}. Load it on the backbone that it "
            "was trained on, with the version of monai_vlsm that made it"
        )
    return kinds[settings["network"]]


def load_network(file: str | Path, backbone: str | Path | None = None) -> PromptedNet:
    """Build the network that a ``model.pt`` belongs to and load the file, in evaluation mode on the CPU.

    Args:
        file: a ``model.pt``.
        backbone: where the base is on this machine, if not where the file says.

    Raises:
        BackboneNotFoundError: when the base cannot be had.
        AdaptationNotImportedError: when the adaptation is of a module that is not imported.
        ModelMismatchError: when the file is none, is damaged, or was trained on another base.
        ModelNotFoundError: when there is no such file.
    """
    state = read(file)
    with naming(file):
        network = build_network(state[SETTINGS_KEY], backbone)
        TrainedState(network).load_state_dict(state)
    return network
