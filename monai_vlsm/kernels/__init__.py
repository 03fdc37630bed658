# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Parts of a transformer layer with a forward and a backward pass of their own, for training on CPUs."""

from __future__ import annotations

from monai_vlsm.kernels.attention import FrozenAttention
from monai_vlsm.kernels.mlp import FrozenSiLUMLP, NarrowMLP

__all__ = ["FrozenAttention", "FrozenSiLUMLP", "NarrowMLP"]
