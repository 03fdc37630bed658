# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Features of images in files, one for each image."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from monai_vlsm.checked_files import CheckedFiles, is_leftover
from monai_vlsm.errors import UserError
from monai_vlsm.io import WriteError, write_json

__all__ = [
    "DTYPES",
    "CacheDamagedError",
    "CacheRoomError",
    "CacheSettingError",
    "FeatureStore",
    "StoreSummary",
    "clear_cache",
    "describe_cache",
    "tensor_key",
]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Types in which features can be kept, by name."""

FORMAT = 2  # of the files; another number never reads these
SUFFIX, ABOUT = ".features", "about.json"


class CacheSettingError(UserError, ValueError):
    """A switch of the caches has a value that is unknown or does not suit the data."""


class CacheDamagedError(UserError, RuntimeError):
    """A file of the cache is missing or damaged in the middle of a run, where it cannot be made again."""


class CacheRoomError(UserError, OSError):
    """The disk has no room for the features."""


def tensor_key(tensor: Tensor) -> str:
    """SHA-256 of shape, type and values: the same for the same image after the same preprocessing."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    """The values as a buffer, without copying."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


class FeatureStore:
    """Features of one frozen encoder under one way of computing them, in a folder of their own.

    Each file has a checksum (`monai_vlsm.checked_files.CheckedFiles`) that is verified whenever it is read.

    Args:
        folder: the cache; features of several encoders lie in it side by side.
        settings: plain values on which the features depend beside the image. Another value is another set of files.
        dtype: a name from `DTYPES`.

    Raises:
        CacheSettingError: another ``dtype``.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any], dtype: str = "float32") -> None:
        if dtype not in DTYPES:
            raise CacheSettingError(f"cache_dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
        self.dtype = DTYPES[dtype]
        self.settings = {"format": FORMAT, "dtype": dtype, **settings}
        text = json.dumps(self.settings, sort_keys=True)
        self.folder = Path(folder) / hashlib.sha256(text.encode()).hexdigest()[:16]
        self._files = CheckedFiles(self.folder, SUFFIX)

    def path(self, key: str) -> Path:
        """The file of an image, by `tensor_key` of its preprocessed pixels."""
        return self._files.path(key)

    def count(self) -> int:
        """How many images have a file."""
        return sum(1 for _ in self.folder.glob(f"*{SUFFIX}"))

    def is_sound(self, key: str) -> bool:
        """Whether the features of an image are there, whole and unchanged; reads the file."""
        return self._files.read(key) is not None

    def read(self, key: str) -> Tensor | None:
        """Features of an image, ``(F, N, C)`` in the type of the store; None where they are missing or damaged."""
        content = self._files.read(key)
        return None if content is None else load(content)["features"]

    def write(self, key: str, features: Tensor) -> None:
        """Keep the features ``(F, N, C)`` of an image.

        Raises:
            CacheSettingError: features too large for float16.
            CacheRoomError: when the disk is full.
        """
        kept = features.detach().to("cpu", self.dtype).contiguous()
        if not torch.isfinite(kept).all():
            largest = features.abs().max().item()
            raise CacheSettingError(f"features up to {largest:g} do not fit {self.dtype}; set cache_dtype to bfloat16")
        try:
            self._files.write(key, save({"features": kept}))
        except WriteError as error:
            raise CacheRoomError(f"features cannot be kept: {error}, with cache_dir") from error

    def describe(self) -> None:
        """Write what the features are, for `describe_cache`."""
        write_json(self.folder / ABOUT, self.settings)

    def require_room(self, size: int) -> None:
        """Check that ``size`` more bytes fit on the disk.

        Raises:
            CacheRoomError: when they do not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if size > free:
            raise CacheRoomError(
                f"the features need {readable(size)} more in {self.folder.parent}, the disk has {readable(free)} free. "
                "Make room (python -m monai_vlsm cache clear), set cache_dir to another disk, or cache_dtype to float16"
            )


def readable(size: float) -> str:
    """Bytes in units of 1000, such as ``2.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


@dataclass(frozen=True)
class StoreSummary:
    """What one set of features takes.

    Attributes:
        folder: where it lies.
        settings: what the features are; empty when nothing says so.
        images: number of files.
        size: their bytes, leftovers included.
        leftovers: files that a killed process left behind.
    """

    folder: Path
    settings: dict[str, Any]
    images: int
    size: int
    leftovers: int


def describe_cache(folder: str | Path) -> list[StoreSummary]:
    """What lies in a cache, one entry for each encoder and way of computing; empty without a cache."""
    return [_summary(path) for path in sorted(Path(folder).glob("*")) if _is_store(path)]


def clear_cache(folder: str | Path) -> int:
    """Delete all features below ``folder``, and nothing else.

    Returns:
        How many bytes were freed.
    """
    freed = 0
    for store in [path for path in Path(folder).glob("*") if _is_store(path)]:
        for file in _own_files(store):
            freed += file.stat().st_size
            file.unlink(missing_ok=True)
        if not any(store.iterdir()):
            store.rmdir()
    return freed


def _summary(folder: Path) -> StoreSummary:
    try:
        settings = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = {}
    files = list(_own_files(folder))
    images = sum(file.suffix == SUFFIX for file in files)
    leftovers = sum(map(is_leftover, files))
    return StoreSummary(folder, settings, images, sum(file.stat().st_size for file in files), leftovers)


def _is_store(folder: Path) -> bool:
    name = folder.name
    return folder.is_dir() and len(name) == 16 and set(name) <= set("0123456789abcdef")


def _own_files(folder: Path) -> Iterator[Path]:
    yield from CheckedFiles(folder, SUFFIX).own_files()
    if (folder / ABOUT).is_file():
        yield folder / ABOUT
