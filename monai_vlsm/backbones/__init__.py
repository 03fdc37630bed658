# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Backbones that the package knows: architectures as JSON, the embedded ``clipseg-mini``, tokenizers."""

from monai_vlsm.backbones.catalogue import (
    MINI,
    backbone_source,
    backbone_type,
    default_image_size,
    known_backbones,
    load_architecture,
    load_config,
)
from monai_vlsm.backbones.faults import BackboneConfigError, BackboneNotFoundError
from monai_vlsm.backbones.tokenizers import load_tokenizer, prompt_ids

__all__ = [
    "MINI",
    "BackboneConfigError",
    "BackboneNotFoundError",
    "backbone_source",
    "backbone_type",
    "default_image_size",
    "known_backbones",
    "load_architecture",
    "load_config",
    "load_tokenizer",
    "prompt_ids",
]
