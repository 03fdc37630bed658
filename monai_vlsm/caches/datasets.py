# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The data set of a bundle, whatever it is to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monai.data import Dataset

from monai_vlsm.caches.features import FeatureDataset
from monai_vlsm.caches.pictures import PictureDataset

__all__ = ["cached_dataset"]


def cached_dataset(
    data: Sequence[Mapping[str, Any]],
    transform: Sequence[Callable[..., Any]] | Callable[..., Any],
    features: Mapping[str, Any] | None = None,
    batch_size: int = 1,
    num_workers: int = 1,
    **pictures: Any,
) -> Dataset:
    """Records through transforms; pictures or features of a frozen encoder are kept where that is wanted.

    Args:
        data: records.
        transform: transforms of a record.
        features: arguments of `FeatureDataset` (``network``, ``folder``, ``dtype``, ``autocast``); None keeps no
            features.
        batch_size: of the data loader, in which features are computed.
        num_workers: processes or threads that fill a cache.
        pictures: arguments of `PictureDataset` (``cache``, ``cache_rate``, ``cache_dir``).

    Raises:
        MixedTransformsError: as `PictureDataset`.
        NotFrozenError: as `FeatureDataset`, which also raises the errors of its cache.
    """
    dataset = PictureDataset(data, transform, num_workers=num_workers, **pictures)
    if features is None:
        return dataset
    return FeatureDataset(dataset, **features, batch_size=batch_size, num_workers=num_workers)
