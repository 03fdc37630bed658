# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Fine-tune text-prompted segmentation models on medical images with lightweight adapters, the MONAI way.

Importing the package imports its kinds, so that MONAI bundles find the classes by short name too.
"""

from monai_vlsm import (
    adapters,
    backbones,
    caches,
    data,
    engines,
    errors,
    export,
    handlers,
    inferers,
    losses,
    metrics,
    networks,
    prompts,
    samples,
    serving,
    settings,
    transforms,
)

__version__ = "0.1.0"

__all__ = [
    "adapters",
    "backbones",
    "caches",
    "data",
    "engines",
    "errors",
    "export",
    "handlers",
    "inferers",
    "losses",
    "metrics",
    "networks",
    "prompts",
    "samples",
    "serving",
    "settings",
    "transforms",
]
