# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Networks as after some training: what begins at zero does something."""

from __future__ import annotations

from pathlib import Path

import torch

from monai_vlsm.adapters import Adaptation
from monai_vlsm.networks import CLIPSegNet


def network(backbone: Path, adaptation: Adaptation | None, opened: bool = True) -> CLIPSegNet:
    """A network in evaluation mode; the same call gives the same weights.

    Args:
        backbone: folder.
        adaptation: of it.
        opened: whether all that trains has other values than those that it begins with.
    """
    torch.manual_seed(0)
    made = CLIPSegNet(backbone, adaptation, default_prompt="one polyp").eval()
    if opened:
        with torch.no_grad():
            for parameter in (one for one in made.parameters() if one.requires_grad):
                parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def real(adaptation: Adaptation) -> CLIPSegNet:
    """At the size of CIDAS/clipseg-rd64-refined, without values."""
    with torch.device("meta"):
        return CLIPSegNet(adaptation=adaptation, load_weights=False)
