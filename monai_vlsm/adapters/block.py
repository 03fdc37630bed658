# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The residual block that all adapters are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["BottleneckAdapter"]


class BottleneckAdapter(nn.Module):
    """``x + relu(up(relu(down(x))))``: two linear layers around a bottleneck, the width is kept.

    Equation 1 of VLSM-Adapter (Dhakal et al., MICCAI 2024), with biases as in the authors' code. Layers keep
    torch's initialisation: with ``up`` at zero, the derivative of the last ReLU is zero and nothing would train.

    Args:
        width: size of the last dimension of the input and output.
        bottleneck: size between the two layers.

    Raises:
        ValueError: when ``width`` or ``bottleneck`` is not positive.
    """

    def __init__(self, width: int, bottleneck: int) -> None:
        super().__init__()
        if width < 1 or bottleneck < 1:
            raise ValueError(f"width and bottleneck must be positive, got width={width}, bottleneck={bottleneck}")
        self.down = nn.Linear(width, bottleneck)
        self.up = nn.Linear(bottleneck, width)

    def forward(self, x: Tensor) -> Tensor:
        """Adapt activations.

        Args:
            x: activations ``(..., width)``.

        Returns:
            Adapted activations, ``(..., width)``.
        """
        return x + torch.relu(self.up(torch.relu(self.down(x))))
