# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""From logits to masks, as far as no other test of a step or of a bundle looks at it."""

from __future__ import annotations

import pytest
import torch
from monai.transforms import Activationsd, Compose

from monai_vlsm.transforms import PromptPostprocessing


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_masks_for_the_loss_are_where_the_logits_are(device: str) -> None:
    """The batch of an evaluation on a GPU has them on the CPU; ``meta`` stands for the GPU."""
    steps = PromptPostprocessing(Compose([]), loss_target="target").transforms
    sigmoid = next(place for place, step in enumerate(steps) if isinstance(step, Activationsd))
    before_sigmoid = Compose(steps[:sigmoid])
    item = {"pred": torch.zeros(2, 4, 4, device=device), "target": torch.ones(2, 4, 4)}
    found = before_sigmoid(item)
    assert found["logits"].device.type == found["logits_target"].device.type == device
    assert found["target"].device.type == "cpu"
    if device == "cpu":
        assert (found["logits_target"] == 1).all()
