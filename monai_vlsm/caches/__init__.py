# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What need not be computed in every epoch."""

from monai_vlsm.caches.packing import Packed, pack, unpack
from monai_vlsm.caches.pictures import MixedTransformsError, PictureDataset, default_picture_dir

__all__ = ["MixedTransformsError", "Packed", "PictureDataset", "default_picture_dir", "pack", "unpack"]
