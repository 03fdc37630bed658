# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adapters: blocks, where they sit, and files that hold only them."""

from monai_vlsm.adapters.adaptation import Adaptation, Seams, Sites, Tower
from monai_vlsm.adapters.attach import attach_adapter
from monai_vlsm.adapters.block import BottleneckAdapter
from monai_vlsm.adapters.dense import DenseAdaptation
from monai_vlsm.adapters.parameters import adapter_names, base_fingerprint, count_parameters, freeze_base
from monai_vlsm.adapters.state import (
    SETTINGS_KEY,
    AdapterMismatchError,
    AdaptersNotFoundError,
    AdapterState,
    build_adaptation,
    load_adapters,
    read_adapter_settings,
)

__all__ = [
    "SETTINGS_KEY",
    "Adaptation",
    "AdapterMismatchError",
    "AdapterState",
    "AdaptersNotFoundError",
    "BottleneckAdapter",
    "DenseAdaptation",
    "Seams",
    "Sites",
    "Tower",
    "adapter_names",
    "attach_adapter",
    "base_fingerprint",
    "build_adaptation",
    "count_parameters",
    "freeze_base",
    "load_adapters",
    "read_adapter_settings",
]
