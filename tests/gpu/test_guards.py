# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Numbers that are none stop a training on a GPU, in 16 bits too."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.checkpoints import SETTINGS_KEY
from monai_vlsm.handlers import NonFiniteError
from monai_vlsm.losses import PromptedSegmentationLoss
from tests.bundles.test_vlsm_dense import TRAIN, run


class NaNGradients(torch.autograd.Function):
    """The value as it is; whatever comes back is NaN."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * math.nan


class NaNBehindLoss(PromptedSegmentationLoss):
    """A loss that is a number, with gradients that are none."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return NaNGradients.apply(super().forward(logits, target))  # type: ignore[no-any-return]


class NaNLoss(PromptedSegmentationLoss):
    """No number, in training; validation does not come to it."""

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return super().forward(logits, target) * math.nan


@pytest.mark.parametrize("amp", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("loss", [NaNLoss, NaNBehindLoss])
def test_nan_ends_a_training(loss: type, amp: bool, settings: dict[str, Any], tmp_path: Path) -> None:
    """In one line, and the weights that are kept are numbers."""
    target = f"{loss.__module__}.{loss.__name__}"
    with pytest.raises(RuntimeError) as raised:
        run([TRAIN], tmp_path, **{**settings, "amp": amp, "loss": {"_target_": target}})
    error = raised.value.__cause__
    assert isinstance(error, NonFiniteError)
    state = torch.load(tmp_path / "last.pt", weights_only=True)["objects"]["model"]
    assert all(torch.isfinite(value).all() for name, value in state.items() if name != SETTINGS_KEY)
