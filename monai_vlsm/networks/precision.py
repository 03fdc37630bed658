# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a network leaves half precision."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["at_least_float32"]


def at_least_float32(values: Tensor) -> Tensor:
    """Half precision widened to float32; float64 stays, so that ``network.double()`` computes in it throughout."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
