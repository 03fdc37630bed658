# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A data set that gives what a frozen image encoder makes of the images, in place of the images."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset, MetaTensor
from torch import Tensor, nn
from torch.utils.data import get_worker_info
from tqdm import tqdm

from monai_vlsm.caches.records import pack_masks, unpack_masks, with_values, without_values
from monai_vlsm.caches.store import CacheDamagedError, CacheSettingError, FeatureStore, readable, tensor_key
from monai_vlsm.caches.transforms import fixed_part
from monai_vlsm.counts import counted
from monai_vlsm.inferers import FEATURES_KEY
from monai_vlsm.networks import PromptedNet
from monai_vlsm.progress import progress_bar

__all__ = ["FeatureDataset"]

IMAGE = "image"
Prepared = tuple[dict[Hashable, Any], str, Tensor]  # the record without its image, key and pixels of the image


class FeatureDataset(Dataset):
    """The records of another data set, with features ``(F, N, C)`` in place of the image.

    Making it decodes each image once, computes the features that the cache lacks, and writes them. From then on an item
    takes reading one file; masks stay in memory, one bit for each pixel. The image's meta stays, so predictions can be
    inverted to its original size, and `monai_vlsm.inferers.PromptInferer` knows what it gets.

    Features are computed ``batch_size`` images at a time, because how a matrix product rounds may depend on their
    number. With the batch size of the training they are to the bit those that the training would compute.

    Several processes may fill one cache, each starts at another image.

    Args:
        dataset: its ``data`` (records) and ``transform`` are used; the image is an image ``(3, S, S)``.
        network: with a frozen vision encoder; or its DistributedDataParallel wrapper.
        folder: the cache.
        dtype: type in which features are kept: ``"float32"`` changes nothing, ``"float16"`` and ``"bfloat16"`` take
            half the room.
        autocast: type of the mixed precision under which the network will run, or None
            (`monai_vlsm.precision.autocast_dtype`).
        batch_size: how many images are computed at a time.
        num_workers: processes that decode images.

    Raises:
        NotFrozenError: when the network's vision encoder trains.
        CacheTransformError: when a random transform changes the image.
        CacheRoomError: when the disk has no room.
        CacheDamagedError: later, when a file was damaged while this runs and a worker cannot make it again: on a GPU,
            or in a process that was spawned.
        CacheSettingError: another ``dtype``, or volumes.
    """

    def __init__(
        self,
        dataset: Dataset,
        network: nn.Module,
        folder: str | Path,
        dtype: str = "float32",
        autocast: torch.dtype | None = None,
        batch_size: int = 1,
        num_workers: int = 0,
    ) -> None:
        super().__init__(dataset.data, dataset.transform)
        inner: Any = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
        inner.require_frozen("vision")
        self._fixed = fixed_part(self.transform, IMAGE)
        device = next(inner.parameters()).device
        settings = {"backbone": inner.backbone, "autocast": str(autocast), "device": device.type, "batch": batch_size}
        self.store = FeatureStore(folder, {**inner.frozen_settings("vision"), **settings}, dtype)
        self._items: list[tuple[dict[Hashable, Any], str]] = []
        self._compute: _Encoder | None = _Encoder(inner, autocast, batch_size)
        self._fill(self._compute, num_workers)

    def _transform(self, index: int) -> dict[Hashable, Any]:
        packed, key = self._items[index]
        item = unpack_masks(packed)
        features = self.store.read(key)
        item[IMAGE] = with_values(item[IMAGE], self._made_again(index, key) if features is None else features)
        return self.transform(item, start=self._fixed)

    def _made_again(self, index: int, key: str) -> Tensor:
        """Features whose file was damaged or removed while this runs."""
        path = self.store.path(key)
        if self._compute is None or (get_worker_info() is not None and self._compute.device.type != "cpu"):
            raise CacheDamagedError(
                f"the cached features {path} are missing or damaged, and this worker has no encoder to make them "
                "again. Start again; what is missing is computed anew"
            )
        _, found, pixels = self.prepare(index)
        if found != key:
            raise CacheDamagedError(
                f"the cached features {path} are missing or damaged, and their image has changed. Start again"
            )
        features = self._compute([pixels])[0].detach().to("cpu", self.store.dtype)
        self.store.write(key, features)
        return features

    def __getstate__(self) -> dict[str, Any]:
        """Without the encoder: a process that is spawned would get all of its weights."""
        return {**self.__dict__, "_compute": None}

    def image(self, item: Mapping[Hashable, Any]) -> Tensor:
        """The image ``(3, S, S)`` as the network would get it, decoded anew.

        Args:
            item: an item of this data set, or of a batch after decollation.
        """
        index = int(item[IMAGE].meta[FEATURES_KEY])
        return self.transform(self.data[index], end=self._fixed)[IMAGE]

    def prepare(self, index: int) -> Prepared:
        """A record after its fixed transforms: the rest of it packed, and key and pixels of its image.

        Raises:
            CacheSettingError: when the image is a volume.
        """
        item = dict(self.transform(self.data[index], end=self._fixed))
        image = item[IMAGE] if isinstance(item[IMAGE], MetaTensor) else MetaTensor(item[IMAGE])
        if image.ndim != 3:
            raise CacheSettingError(
                f"features are kept of images (3, S, S), got {tuple(image.shape)}; set cache_features to False"
            )
        pixels = image.as_tensor()
        image.meta[FEATURES_KEY] = index
        return pack_masks({**item, IMAGE: without_values(image)}), tensor_key(pixels), pixels

    def _fill(self, compute: _Encoder, num_workers: int) -> None:
        order = _order(len(self.data))
        writer = _Writer(compute, self.store, len({str(r.get(IMAGE)) for r in self.data}))
        prepared: dict[int, tuple[dict[Hashable, Any], str]] = {}
        progress = progress_bar(_prepared(self, order, num_workers), "features", len(order))
        for index, (item, key, pixels) in zip(order, progress, strict=True):
            prepared[index] = (item, key)
            writer.add(key, pixels)
        writer.finish()
        self._items = [prepared[index] for index in range(len(order))]


class _Encoder:
    """The frozen image encoder, always with as many images at a time: their number may change the last bit."""

    def __init__(self, network: PromptedNet, autocast: torch.dtype | None, batch_size: int) -> None:
        self.network, self.autocast, self.batch_size = network, autocast, batch_size
        self.device = next(network.parameters()).device

    @torch.no_grad()
    def __call__(self, pixels: Sequence[Tensor]) -> Tensor:
        """Features of images ``(3, S, S)``, at most as many as in a batch, which is filled up."""
        filled = torch.stack([*pixels, *[pixels[-1]] * (self.batch_size - len(pixels))])
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            return self.network.encode_frozen_image(filled.to(self.device))[: len(pixels)]


class _Writer:
    """Collects images whose features are missing, and computes and writes a batch of them at a time."""

    def __init__(self, compute: _Encoder, store: FeatureStore, images: int) -> None:
        self.compute, self.store, self.images = compute, store, images
        self.waiting: dict[str, Tensor] = {}
        self.sound: set[str] = set()
        self.announced = False

    def add(self, key: str, pixels: Tensor) -> None:
        """Take note of an image."""
        if key in self.sound or key in self.waiting:
            return
        if self.store.is_sound(key):
            self.sound.add(key)
            return
        self.waiting[key] = pixels
        if len(self.waiting) == self.compute.batch_size:
            self.finish()

    def finish(self) -> None:
        """Compute what waits."""
        if not self.waiting:
            return
        features = self.compute(list(self.waiting.values()))
        self._announce(features[0].numel() * self.store.dtype.itemsize)
        for key, own in zip(self.waiting, features, strict=False):
            self.store.write(key, own)
        self.sound.update(self.waiting)
        self.waiting.clear()

    def _announce(self, size: int) -> None:
        if self.announced:
            return
        self.announced = True
        missing = max(self.images - self.store.count(), 1)
        tqdm.write(
            f"cached features: {readable(size)} for each of {counted(self.images, 'image')}, "
            f"{readable(size * self.images)} in all, about {missing} of them new, in {self.store.folder}"
        )
        self.store.require_room(missing * size)
        self.store.describe()


def _order(length: int) -> list[int]:
    """Indices of all records, starting elsewhere in each process, so that each computes other ones."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if distributed else (0, 1)
    start = rank * length // world
    return [*range(start, length), *range(start)]


class _Prepared(torch.utils.data.Dataset):
    def __init__(self, dataset: FeatureDataset, order: list[int]) -> None:
        self.dataset, self.order = dataset, order

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, position: int) -> Prepared:
        return self.dataset.prepare(self.order[position])


def _prepared(dataset: FeatureDataset, order: list[int], num_workers: int) -> Iterable[Prepared]:
    # torch's loader and a generator of its own: MONAI's seeds the transforms, and both draw from the global generator
    loader = torch.utils.data.DataLoader(
        _Prepared(dataset, order),
        batch_size=None,
        num_workers=num_workers,
        generator=torch.Generator(),
        collate_fn=_as_it_is,
    )
    yield from loader


def _as_it_is(item: Any) -> Any:
    return item
