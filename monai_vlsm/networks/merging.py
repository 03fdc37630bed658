# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A network with adapters as one without, for those adapters that are changes of weights."""

from __future__ import annotations

import torch

from monai_vlsm.adapters import MergeError
from monai_vlsm.checkpoints import REMEMBERED
from monai_vlsm.networks.clipseg import CLIPSegNet
from monai_vlsm.networks.prompted import PromptedNet

__all__ = ["merged_network"]


def merged_network(network: PromptedNet) -> CLIPSegNet:
    """Make what was trained a part of the weights.

    Args:
        network: with adapters; it stays as it is.

    Returns:
        A network without adapters that computes the same up to rounding, on the CPU, in evaluation mode. It takes as
        much memory as the network itself.

    Raises:
        MergeError: when the adaptation adds what is no change of weights, or the network takes no adaptations.
    """
    if not isinstance(network, CLIPSegNet):
        raise MergeError(
            f"{type(network).__name__} has no adapters, so there is nothing to merge; give a CLIPSeg model"
        )
    plain = CLIPSegNet(network.backbone, None, network.image_size, network.default_prompt, load_weights=False).eval()
    state = network.base.state_dict()
    plain.base.load_state_dict({name: state[name] for name in plain.base.state_dict()})
    with torch.no_grad():
        network.adaptation.merge(network.adapter_targets(), plain.adapter_targets())
    for name in ("existence_threshold", "temperature", *REMEMBERED):
        setattr(plain, name, getattr(network, name))
    return plain
