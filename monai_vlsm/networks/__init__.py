# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Networks."""

from monai_vlsm.networks.assembly import empty_network, fill_network, frozen_tensors, network_class
from monai_vlsm.networks.clipseg import CLIPSegNet
from monai_vlsm.networks.cris import CRISNet
from monai_vlsm.networks.pretrained import BackboneWeightsError, load_base
from monai_vlsm.networks.prompted import NoAdaptersError, PromptedNet
from monai_vlsm.networks.san import SANNet
from monai_vlsm.networks.unet import TargetUNet

__all__ = [
    "BackboneWeightsError",
    "CLIPSegNet",
    "CRISNet",
    "NoAdaptersError",
    "PromptedNet",
    "SANNet",
    "TargetUNet",
    "empty_network",
    "fill_network",
    "frozen_tensors",
    "load_base",
    "network_class",
]
