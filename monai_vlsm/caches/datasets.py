# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The data set of a bundle, whatever it is to keep."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset
from torch import nn

from monai_vlsm.caches.features import FeatureDataset
from monai_vlsm.caches.images import CachedImageDataset
from monai_vlsm.checked_files import default_folder
from monai_vlsm.precision import autocast_dtype

__all__ = ["Caching", "cached_dataset"]


@dataclass(frozen=True)
class Caching:
    """What the data sets of a run keep, and where.

    Args:
        network: whose frozen image encoder makes features; needed with ``features`` only.
        folder: for ``images`` and ``features``, which lie below it; None takes `monai_vlsm.caches.default_folder`.
        images: ``"off"``, ``"memory"``, ``"disk"`` or ``"auto"`` (`CachedImageDataset`).
        rate: share of the images that are kept in memory.
        features: True keeps what the frozen encoder makes of the images (`FeatureDataset`).
        dtype: in which features are kept.
        amp: whether the network runs in mixed precision.
        amp_dtype: and in which on a GPU (`monai_vlsm.precision.autocast_dtype`).
        num_workers: processes or threads that fill a cache.
    """

    network: nn.Module | None = None
    folder: str | os.PathLike[str] | None = None
    images: str = "off"
    rate: float = 1.0
    features: bool = False
    dtype: str = "float32"
    amp: bool = False
    amp_dtype: str = "bfloat16"
    num_workers: int = 0

    def path(self, name: str) -> Path:
        """Folder of one of the caches."""
        return Path(self.folder or default_folder(), name)

    def autocast(self) -> torch.dtype | None:
        """Type of the mixed precision in which the network will run."""
        device = next(self._frozen().parameters()).device
        return autocast_dtype(device, self.amp, self.amp_dtype)

    def of_features(self, dataset: Dataset, batch_size: int) -> FeatureDataset:
        """The same records with features in place of images."""
        return FeatureDataset(
            dataset,
            self._frozen(),
            self.path("features"),
            dtype=self.dtype,
            autocast=self.autocast(),
            batch_size=batch_size,
            num_workers=self.num_workers,
        )

    def _frozen(self) -> nn.Module:
        if self.network is None:
            raise ValueError("to keep features, Caching needs the network that makes them")
        return self.network


def cached_dataset(
    data: Sequence[Mapping[str, Any]],
    transform: Sequence[Callable[..., Any]] | Callable[..., Any],
    caching: Caching | None = None,
    batch_size: int = 1,
    images: bool = True,
) -> Dataset:
    """Records through transforms; images or features of a frozen encoder are kept where that is wanted.

    Args:
        data: records.
        transform: transforms of a record.
        caching: what is kept; None keeps nothing.
        batch_size: of the data loader, in which features are computed.
        images: False keeps no images whatever ``caching`` says, for records that are read once.

    Raises:
        MixedTransformsError: as `CachedImageDataset`.
        NotFrozenError: as `FeatureDataset`, which also raises the errors of its cache.
    """
    keep = caching or Caching()
    dataset = CachedImageDataset(
        data,
        transform,
        cache=keep.images if images else "off",
        cache_rate=keep.rate,
        cache_dir=keep.path("images"),
        num_workers=keep.num_workers,
    )
    return keep.of_features(dataset, batch_size) if keep.features else dataset
