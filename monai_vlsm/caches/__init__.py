# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What need not be computed twice: results of frozen encoders."""

from monai_vlsm.caches.datasets import Caching, cached_dataset
from monai_vlsm.caches.features import FeatureDataset
from monai_vlsm.caches.images import CachedImageDataset, MixedTransformsError, image_files
from monai_vlsm.caches.packing import Packed, pack, unpack
from monai_vlsm.caches.store import (
    DTYPES,
    CacheDamagedError,
    CacheRoomError,
    CacheSettingError,
    FeatureStore,
    clear_cache,
    describe_cache,
)
from monai_vlsm.caches.text import DistinctPrompts, EncodedPrompts, PromptCache, inference_prompts, prompt_encoding
from monai_vlsm.caches.transforms import CacheTransformError
from monai_vlsm.checked_files import default_folder

__all__ = [
    "DTYPES",
    "CacheDamagedError",
    "CacheRoomError",
    "CacheSettingError",
    "CacheTransformError",
    "CachedImageDataset",
    "Caching",
    "DistinctPrompts",
    "EncodedPrompts",
    "FeatureDataset",
    "FeatureStore",
    "MixedTransformsError",
    "Packed",
    "PromptCache",
    "cached_dataset",
    "clear_cache",
    "default_folder",
    "describe_cache",
    "image_files",
    "inference_prompts",
    "pack",
    "prompt_encoding",
    "unpack",
]
