# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Fine-tune text-prompted segmentation models on medical images with lightweight adapters, the MONAI way.

Importing the package imports its kinds, so that MONAI bundles find the classes by short name too. Only the commands of
``python -m monai_vlsm`` import what they use and nothing else, so that their help comes at once.
"""

import sys
from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

__all__ = [
    "adapters",
    "backbones",
    "caches",
    "checkpoints",
    "data",
    "engines",
    "errors",
    "export",
    "handlers",
    "inferers",
    "losses",
    "metrics",
    "networks",
    "probing",
    "processes",
    "prompts",
    "samples",
    "serving",
    "settings",
    "transforms",
    "uncertainty",
]


def _is_command() -> bool:
    """Whether Python looks for the module of ``python -m monai_vlsm`` just now."""
    return sys.argv[:1] == ["-m"] and "monai_vlsm" in sys.orig_argv[: -len(sys.argv) + 1 or None][-1:]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if not _is_command():
    for kind in __all__:
        import_module(f"{__name__}.{kind}")
    del kind
