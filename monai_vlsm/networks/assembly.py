# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Networks from the settings of a ``model.pt``: first the structure without memory, then the weights that it gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_vlsm.adapters import build_adaptation
from monai_vlsm.backbones import backbone_type
from monai_vlsm.networks.clipseg import CLIPSegNet
from monai_vlsm.networks.cris import CRISNet
from monai_vlsm.networks.prompted import PromptedNet
from monai_vlsm.networks.san import SANNet
from monai_vlsm.networks.unet import TargetUNet

__all__ = ["empty_network", "fill_network", "frozen_tensors", "network_arguments", "network_class"]

_CLASSES: dict[str, type[PromptedNet]] = {
    "clipseg": CLIPSegNet,
    "clip": SANNet,
    "san": SANNet,
    "cris": CRISNet,
    "unet": TargetUNet,
}
# settings that are no arguments of a constructor
_RECORDED = {"format", "base", "network", "backbone", "existence_threshold"}


def network_class(backbone: str | Path) -> type[PromptedNet]:
    """The class of the networks that are trained on a backbone; a folder with a CLIPSeg counts for `CLIPSegNet`.

    Raises:
        BackboneNotFoundError: when the backbone is unknown.
        ValueError: when a folder holds another kind of model.
    """
    kind = backbone_type(backbone)
    if kind not in _CLASSES:
        raise ValueError(f"{backbone}: no network is made for a model of type {kind!r}; known: {', '.join(_CLASSES)}")
    return _CLASSES[kind]


def empty_network(settings: Mapping[str, Any], backbone: str | Path) -> PromptedNet:
    """Build the network that a ``model.pt`` belongs to on torch's ``meta`` device.

    It takes next to no memory, reads no weight file, and leaves the state of torch's random numbers as it is.

    Args:
        settings: what a ``model.pt`` says; its ``network`` and ``backbone`` are not looked at.
        backbone: a known name or a local folder.

    Returns:
        A network of class ``network_class(backbone)`` in evaluation mode. Its weights have shapes and no values; only
        the tokens of the default prompt are there, on the CPU.

    Raises:
        BackboneNotFoundError: when the backbone or its tokenizer cannot be had.
        TypeError: when a setting is no argument of the network, or of a wrong type.
        ValueError: when a setting has a wrong value, or is none that such a network records.
    """
    arguments = network_arguments(settings)
    with torch.device("meta"):
        network = _build(backbone, **arguments)
    unknown = sorted(arguments.keys() - network.settings().keys())
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(unknown)}")
    network.existence_threshold = float(settings.get("existence_threshold") or 0.0)
    return network.eval().requires_grad_(False)


def network_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What of the settings a network is built with, besides its backbone.

    Raises:
        TypeError: when a setting is no argument of its adaptation.
        ValueError: when there is no such adaptation.
    """
    arguments = {name: value for name, value in settings.items() if name not in _RECORDED}
    if arguments.get("adaptation") is not None:
        arguments["adaptation"] = build_adaptation(arguments["adaptation"])
    return arguments


def fill_network(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give entries of a network that are on the ``meta`` device values. Memory is shared, nothing is copied.

    Each parameter becomes an object of its own around the memory that it shares: moving one network to another device
    or type leaves the others as they are.

    Args:
        network: what `empty_network` returned.
        tensors: names of parameters and buffers to tensors; other names are left out.
    """
    for prefix, module in network.named_modules():
        for name, parameter in [*module.named_parameters(recurse=False)]:
            tensor = tensors.get(f"{prefix}.{name}".lstrip("."))
            if parameter.is_meta and tensor is not None:
                setattr(module, name, nn.Parameter(tensor.detach(), requires_grad=False))
        for name, buffer in [*module.named_buffers(recurse=False)]:
            tensor = tensors.get(f"{prefix}.{name}".lstrip("."))
            if buffer.is_meta and tensor is not None:
                setattr(module, name, tensor.detach())


def frozen_tensors(backbone: str | Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """What networks on one backbone have in common: its pretrained weights, by their names in a network.

    Returns:
        For CLIPSeg all of it, for SAN its CLIP, for CRIS and U-Net, which train from end to end, a few constants.

    Raises:
        BackboneNotFoundError: when the backbone is unknown or its weights cannot be had.
        BackboneWeightsError: when they are damaged or of another model.
    """
    kind = network_class(backbone)
    arguments: dict[str, Any] = {}
    if kind is SANNet:
        arguments["fusion"] = "official"  # the variant in which no part of CLIP trains
    if kind is CRISNet:
        arguments["load_weights"] = False  # all of it trains, so a model file replaces all
    network = kind(backbone, **arguments).to(device)
    tensors = {**dict(network.named_buffers()), **network.state_dict()}
    own = {*network.trained_names, "default_input_ids"}
    return {name: tensor.detach() for name, tensor in tensors.items() if name not in own}


def _build(backbone: str | Path, **arguments: Any) -> PromptedNet:
    kind = network_class(backbone)
    weights: dict[str, Any] = {} if kind is TargetUNet else {"load_weights": False}
    return kind(backbone, **weights, **arguments)
