# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Backbones that the package knows: architecture as JSON, the embedded ``clipseg-mini``, tokenizers."""

from monai_vlsm.backbones.catalogue import (
    MINI,
    BackboneNotFoundError,
    backbone_source,
    known_backbones,
    load_config,
    load_tokenizer,
)

__all__ = ["MINI", "BackboneNotFoundError", "backbone_source", "known_backbones", "load_config", "load_tokenizer"]
