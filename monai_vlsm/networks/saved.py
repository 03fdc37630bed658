# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The network that a ``model.pt`` belongs to, built from the file alone."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.checkpoints import SETTINGS_KEY, ModelMismatchError, TrainedState, read
from monai_vlsm.checkpoints.content import verify_settings
from monai_vlsm.errors import UserError
from monai_vlsm.networks.assembly import network_arguments
from monai_vlsm.networks.clipseg import CLIPSegNet
from monai_vlsm.networks.cris import CRISNet
from monai_vlsm.networks.prompted import ImageSizeError, PromptedNet
from monai_vlsm.networks.san import SANNet
from monai_vlsm.networks.unet import TargetUNet

__all__ = ["build_network", "load_network"]

_KINDS: dict[str, type[PromptedNet]] = {kind.__name__: kind for kind in (CLIPSegNet, CRISNet, SANNet, TargetUNet)}


def build_network(settings: Mapping[str, Any], backbone: str | Path | None = None) -> PromptedNet:
    """Build the network that settings describe; what was trained is not loaded yet.

    Weights of the frozen base are read where there is one; a network that was trained as a whole begins at random.

    Args:
        settings: what `monai_vlsm.checkpoints.read_settings` returned.
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
    verify_settings(settings)
    try:
        return _KINDS[settings["network"]](**_arguments(settings, backbone))
    except ImageSizeError as error:
        raise _misfit(settings, error) from error
    except UserError:
        raise
    except (TypeError, ValueError) as error:
        raise _misfit(settings, error) from error


def _misfit(settings: Mapping[str, Any], error: Exception) -> ModelMismatchError:
    return ModelMismatchError(f"the settings of the model file fit no {settings['network']}: {error}")


def _arguments(settings: Mapping[str, Any], backbone: str | Path | None) -> dict[str, Any]:
    arguments = network_arguments(settings) | {"backbone": settings["backbone"]}
    if "load_weights" in inspect.signature(_KINDS[settings["network"]]).parameters:
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
    state = read(file)
    network = build_network(state[SETTINGS_KEY], backbone)
    TrainedState(network).load_state_dict(state)
    return network.eval()
