# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Networks."""

from monai_vlsm.networks.clipseg import CLIPSegNet, default_image_size
from monai_vlsm.networks.pretrained import BackboneWeightsError, load_base

__all__ = ["BackboneWeightsError", "CLIPSegNet", "default_image_size", "load_base"]
