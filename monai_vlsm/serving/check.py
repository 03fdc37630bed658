# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether a trained model works."""

from __future__ import annotations

from pathlib import Path

import torch

from monai_vlsm.backbones import prompt_ids
from monai_vlsm.checkpoints import ModelMismatchError
from monai_vlsm.errors import UserError
from monai_vlsm.networks import PromptedNet, load_network

__all__ = ["check_model"]


def check_model(file: str | Path, backbone: str | Path | None = None) -> PromptedNet:
    """Load a ``model.pt`` on its base and run it once, on a blank image.

    Args:
        file: a ``model.pt``.
        backbone: the base, if not the one that the file names.

    Returns:
        Its network.

    Raises:
        BackboneNotFoundError: when the base cannot be had.
        ModelNotFoundError: when there is no such file.
        ModelMismatchError: when it does not belong to the base, or what it computes is no mask.
    """
    network = load_network(file, backbone)
    prompt = (network.settings().get("targets") or [network.default_prompt])[0]  # a U-Net knows its targets only
    ids = torch.tensor([prompt_ids(network.backbone, prompt)])
    try:
        with torch.no_grad():
            logits = network(torch.zeros(1, 3 * network.slices, network.image_size, network.image_size), ids)
    except UserError:
        raise
    except (RuntimeError, TypeError, ValueError) as error:
        raise ModelMismatchError(f"{file} loads on {network.backbone}, but does not run: {error}") from error
    if not logits.isfinite().all():
        raise ModelMismatchError(
            f"{file} loads on {network.backbone}, but computes values that are no numbers; its weights are damaged, or "
            "its training went wrong. Train again"
        )
    return network
