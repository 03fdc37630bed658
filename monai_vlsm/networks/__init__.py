# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Networks: one class for each system, and the network that a ``model.pt`` belongs to."""

from monai_vlsm.networks.bases import load_base
from monai_vlsm.networks.build import build_network, image_statistics, load_network, network_class
from monai_vlsm.networks.clipseg import CLIPSegNet
from monai_vlsm.networks.cris import CRISNet
from monai_vlsm.networks.faults import NoAdaptersError, NotFrozenError, UnknownTargetError
from monai_vlsm.networks.frozen import round_frozen
from monai_vlsm.networks.merging import merged_network
from monai_vlsm.networks.pretrained import BackboneWeightsError
from monai_vlsm.networks.prompted import PromptedNet
from monai_vlsm.networks.sampling import NothingDrawsError, sampling
from monai_vlsm.networks.san import SANNet
from monai_vlsm.networks.unet import TargetUNet

__all__ = [
    "BackboneWeightsError",
    "CLIPSegNet",
    "CRISNet",
    "NoAdaptersError",
    "NotFrozenError",
    "NothingDrawsError",
    "PromptedNet",
    "SANNet",
    "TargetUNet",
    "UnknownTargetError",
    "build_network",
    "image_statistics",
    "load_base",
    "load_network",
    "merged_network",
    "network_class",
    "round_frozen",
    "sampling",
]
