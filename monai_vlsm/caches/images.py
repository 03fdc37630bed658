# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A data set that decodes and resizes each image once."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import torch
from monai.data import CacheDataset, Dataset
from monai.transforms import Compose, MapTransform, RandomizableTrait, Transform
from torch import Tensor

from monai_vlsm.caches.choice import choose_cache
from monai_vlsm.caches.packing import Packed, pack, unpack
from monai_vlsm.checked_files import CheckedFiles, default_folder, is_leftover
from monai_vlsm.data.volumes import Address, signature
from monai_vlsm.errors import UserError
from monai_vlsm.io import require_writable
from monai_vlsm.progress import progress_bar
from monai_vlsm.transforms import ResizeImaged

__all__ = ["CachedImageDataset", "MixedTransformsError", "image_files"]

logger = logging.getLogger(__name__)

MODES = ("auto", "off", "memory", "disk")
FORMAT = 4  # raised when a transform of this package gives other numbers, so that files of before are not read
SUFFIX = ".image"
NAME = re.compile(r"[0-9a-f]{64}")  # of a file in the cache, see file_key


class MixedTransformsError(UserError, ValueError):
    """The transforms before the cached point are not the same in every epoch, or mix images."""


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """The files that ``cache="disk"`` has written to a folder, with what a killed process left there."""
    files = CheckedFiles(Path(folder), SUFFIX).own_files()
    return [file for file in files if NAME.fullmatch(file.stem) or is_leftover(file)]


class CachedImageDataset(Dataset):
    """Records through transforms, where all up to the last `ResizeImaged` run once for each image.

    What is kept is each *file* of a record, not the record: structures and prompts of one image share its image. A
    image of 8 bits is kept as 8 bits (372 kB at 352 pixels), a mask as 1 bit per pixel, other images as float32;
    what comes out is equal to the bit to what comes out without a cache.

    Args:
        data: records, dicts with a path, or a list of paths, at some of ``keys``.
        transform: transforms of a record. Those up to the last `ResizeImaged` must be dictionary transforms without
            randomness that treat each of ``keys`` alone, unless ``cache`` is ``"off"``.
        cache: ``"off"`` runs all transforms each time, as MONAI's ``Dataset``. ``"memory"`` prepares the images now
            and keeps them in this process (MONAI's ``CacheDataset``): forked workers read them where they are.
            ``"disk"`` writes each image when it is first used and reads it from then on, in later runs and other
            processes too. A changed file or transform is seen, and so is a damaged file of the cache. ``"auto"`` takes
            one of these by what is free (`monai_vlsm.caches.choice.choose_cache`).
        cache_rate: share of the files that ``"memory"`` keeps, from 0 to 1.
        cache_dir: folder of ``"disk"``; None takes ``images`` in
            `monai_vlsm.caches.default_folder`. It may be deleted at any time.
        keys: where a record names files.
        num_workers: threads that prepare the images for ``"memory"``, and processes that will ask for items.

    Raises:
        ValueError: an unknown ``cache`` or a ``cache_rate`` outside 0..1.
        MixedTransformsError: transforms that cannot be cached; the message names the first.
        WriteError: when images must be written to a folder that cannot be written.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Sequence[Callable[..., Any]] | Callable[..., Any],
        cache: str = "off",
        cache_rate: float = 1.0,
        cache_dir: str | os.PathLike[str] | None = None,
        keys: Sequence[str] = ("image", "label"),
        num_workers: int = 1,
    ) -> None:
        super().__init__(data, flat(transform))
        if cache not in MODES:
            raise ValueError(f"unknown cache {cache!r}, known: {', '.join(MODES)}")
        if not 0 <= cache_rate <= 1:
            raise ValueError(f"cache_rate must be from 0 to 1, got {cache_rate}")
        self.images: Dataset | None = None
        if cache == "auto" and (fault := uncacheable(self.transform)):
            logger.info("cache off: %s", fault)
            cache = "off"
        if cache == "off":
            return
        self._start = cached_transforms(self.transform)
        items, self._places = files_of_records(data, keys)
        prepare = Compose([*lenient(self.transform.transforms[: self._start]), PackImages()])
        folder = cache_dir or f"{default_folder()}/images"
        if cache == "auto":
            cache = choose_cache(items, prepare, folder, num_workers)
        if cache == "memory":
            self.images = MemoryImages(items, prepare, cache_rate=cache_rate, num_workers=num_workers, copy_cache=False)
        elif cache == "disk":
            key = partial(file_key, described=json.dumps([FORMAT, describe(self.transform.transforms[: self._start])]))
            self.images = DiskImages(items, prepare, folder, key)

    def _transform(self, index: int) -> Any:
        if self.images is None:
            return super()._transform(index)
        record = dict(self.data[index])
        for place in self._places[index]:
            record.update({key: unpack(packed) for key, packed in self.images[place].items()})
        return self.transform(record, start=self._start)


class MemoryImages(CacheDataset):
    """MONAI's ``CacheDataset`` with a progress bar of this package."""

    def _fill_cache(self, indices: Iterable[int] | None = None) -> list[Any]:
        places = list(range(self.cache_num) if indices is None else indices)
        with ThreadPool(self.num_workers) as pool:
            made = pool.imap(self._load_cache_item, places)
            return list(progress_bar(made, "loading images", len(places), "file"))


class DiskImages(Dataset):
    """Items through a transform, whose packed results lie in files from their first use on.

    Args:
        items: as from `files_of_records`.
        transform: item to values of `pack`.
        folder: of the files.
        key: item to the name of its file.

    Raises:
        WriteError: when something must be written to a folder that cannot be written.
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        transform: Compose,
        folder: str | os.PathLike[str],
        key: Callable[[Mapping[str, Any]], str],
    ) -> None:
        super().__init__(items, transform)
        self.files, self.key = CheckedFiles(Path(folder), SUFFIX), key
        if not all(self.files.path(key(item)).is_file() for item in items):
            require_writable(folder)

    def _transform(self, index: int) -> dict[str, Packed]:
        key = self.key(self.data[index])
        content = self.files.read(key)
        if content is not None:
            kept: dict[str, Packed] = torch.load(BytesIO(content), weights_only=True)
            return kept
        made: dict[str, Packed] = self.transform(self.data[index])
        buffer = BytesIO()
        torch.save(made, buffer)
        self.files.write(key, buffer.getvalue())
        return made


class PackImages(Transform):
    """Dict with tensors to dict of `pack`'s values; entries that are no tensors are left out."""

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Packed]:
        """Pack each tensor of ``data``."""
        return {key: pack(value) for key, value in data.items() if isinstance(value, Tensor)}


def flat(transform: Sequence[Callable[..., Any]] | Callable[..., Any]) -> Callable[..., Any]:
    """Transforms in one ``Compose`` without another inside; a single callable as it is."""
    if isinstance(transform, Sequence):
        return Compose(transform).flatten()
    return transform.flatten() if isinstance(transform, Compose) else transform


def uncacheable(transform: Any) -> str:
    """Why what transforms give cannot be kept; empty if it can."""
    if not isinstance(transform, Compose):
        return "the transforms are no Compose"
    try:
        cached_transforms(transform)
    except MixedTransformsError as error:
        return str(error)
    return ""


def cached_transforms(transform: Compose) -> int:
    """How many of the transforms lie up to the last `ResizeImaged`, checked to be cacheable.

    Raises:
        MixedTransformsError: no `ResizeImaged`; a random transform before it, or one that is no ``MapTransform``.
    """
    last = max((i for i, one in enumerate(transform.transforms) if isinstance(one, ResizeImaged)), default=-1)
    if last < 0:
        raise MixedTransformsError(
            "a cache of images keeps what ResizeImaged returns, and these transforms have none; "
            'add it, or set cache to "off"'
        )
    for one in transform.transforms[: last + 1]:
        if isinstance(one, RandomizableTrait) or not isinstance(one, MapTransform):
            fault = "is random" if isinstance(one, RandomizableTrait) else "is no dictionary transform (MapTransform)"
            raise MixedTransformsError(
                f"{type(one).__name__} {fault}, so that what ResizeImaged returns cannot be kept; "
                'put it behind ResizeImaged, or set cache to "off"'
            )
    return last + 1


def files_of_records(
    data: Sequence[Mapping[str, Any]], keys: Sequence[str]
) -> tuple[list[dict[str, Any]], list[list[int]]]:
    """Each file, or list of files, once, as ``{key: path}``; and for each record where its own are among them."""
    places: dict[tuple[str, Any], int] = {}
    rows = []
    for record in data:
        used = [(key, record[key]) for key in keys if key in record]
        hashable = [(key, path if isinstance(path, str) else tuple(path)) for key, path in used]
        rows.append([places.setdefault(one, len(places)) for one in hashable])
    items = [{key: path if isinstance(path, str) else list(path)} for key, path in places]
    return items, rows


def lenient(transforms: Sequence[MapTransform]) -> list[MapTransform]:
    """Copies that accept records without some of their keys."""
    copies = [copy.copy(one) for one in transforms]
    for one in copies:
        one.allow_missing_keys = True
    return copies


def file_key(item: Mapping[str, Any], described: str) -> str:
    """Name of the cache file of one item of `files_of_records`: its paths, sizes, times of change and transforms."""
    (key, value), *_ = item.items()
    paths = [Path(path).absolute() for path in ([value] if isinstance(value, str) else value)]
    facts = [[str(path), _signature(path)] for path in paths]
    return hashlib.sha256(json.dumps([key, facts, described]).encode()).hexdigest()


def _signature(path: Path) -> list[tuple[str, int, int]]:
    """Of the file that a path names, be it one for a slice of it."""
    try:
        return signature(Address.of(path).file)
    except OSError:  # reading it says what is wrong with it
        return []


def describe(value: Any, depth: int = 8) -> Any:
    """The settings of transforms as plain values, the same in every process."""
    if value is None or isinstance(value, str | int | float) or depth == 0:
        return value if depth else type(value).__qualname__
    if isinstance(value, Mapping):
        return {str(key): describe(entry, depth - 1) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [describe(entry, depth - 1) for entry in value]
    if isinstance(value, type) or not hasattr(value, "__dict__"):
        return getattr(value, "__qualname__", str(value) if str(value).startswith("torch.") else type(value).__name__)
    own = {name: entry for name, entry in vars(value).items() if name != "_tracing"}  # which MONAI makes on first use
    return [getattr(value, "__qualname__", type(value).__qualname__), describe(own, depth - 1)]
