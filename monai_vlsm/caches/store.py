# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Features of images in files, one for each image: safe when several processes write and when one is killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from monai_vlsm.errors import UserError

__all__ = [
    "DTYPES",
    "CacheDamagedError",
    "CacheRoomError",
    "CacheSettingError",
    "FeatureStore",
    "StoreSummary",
    "clear_cache",
    "default_folder",
    "describe_cache",
    "tensor_key",
]

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
"""Types in which features can be kept, by name."""

FORMAT = 1  # of the files; another number never reads these
SUFFIX, PART, ABOUT = ".features", ".part", "about.json"


class CacheSettingError(UserError, ValueError):
    """A switch of the caches has a value that is unknown or does not suit the data."""


class CacheDamagedError(UserError, RuntimeError):
    """A file of the cache is missing or damaged in the middle of a run."""


class CacheRoomError(UserError, OSError):
    """The disk has no room for the features."""


def default_folder() -> str:
    """Where caches are kept when no other folder is named: ``monai_vlsm`` in the user's cache folder.

    Features lie in ``features`` below it, pictures in ``pictures``.
    """
    return str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "monai_vlsm")


def tensor_key(tensor: Tensor) -> str:
    """SHA-256 of shape, type and values: the same for the same picture after the same preprocessing."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    """The values as a buffer, without copying."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


class FeatureStore:
    """Features of one frozen encoder under one way of computing them, in a folder of their own.

    A file is written under another name and then renamed, so it is whole or not there, and two processes that write
    the same one do not disturb each other. Each has a checksum.

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

    def path(self, key: str) -> Path:
        """The file of an image, by `tensor_key` of its preprocessed pixels."""
        return self.folder / f"{key}{SUFFIX}"

    def count(self) -> int:
        """How many images have a file."""
        return sum(1 for _ in self.folder.glob(f"*{SUFFIX}"))

    def is_sound(self, key: str) -> bool:
        """Whether the features of an image are there, whole and unchanged; reads the file."""
        try:
            with safe_open(self.path(key), "pt") as file:
                return (file.metadata() or {}).get("crc32") == _checksum(file.get_tensor("features"))
        except (OSError, SafetensorError):
            return False

    def read(self, key: str) -> Tensor:
        """Features of an image, ``(F, N, C)`` in the type of the store. Its length is checked, not its checksum.

        Raises:
            CacheDamagedError: when the file is missing or cut short.
        """
        try:
            with safe_open(self.path(key), "pt") as file:
                return file.get_tensor("features")
        except (OSError, SafetensorError) as error:
            raise CacheDamagedError(
                f"the cached features {self.path(key)} are missing or damaged ({error}): expected them to stay while "
                "this runs. Start again; what is missing is computed anew"
            ) from error

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
            self.folder.mkdir(parents=True, exist_ok=True)
            _replace(self.path(key), save({"features": kept}, {"crc32": _checksum(kept)}))
        except OSError as error:
            raise CacheRoomError(
                f"cannot write features to {self.folder}: {error}. Set cache_dir to another"
            ) from error

    def describe(self) -> None:
        """Write what the features are, for `describe_cache`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _replace(self.folder / ABOUT, json.dumps(self.settings, indent=2).encode())

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


def _checksum(tensor: Tensor) -> str:
    return f"{zlib.crc32(_bytes(tensor)):08x}"


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:16]}.", suffix=PART)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


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
    leftovers = sum(file.suffix == PART for file in files)
    return StoreSummary(folder, settings, images, sum(file.stat().st_size for file in files), leftovers)


def _is_store(folder: Path) -> bool:
    name = folder.name
    return folder.is_dir() and len(name) == 16 and set(name) <= set("0123456789abcdef")


def _own_files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if file.is_file() and (file.suffix in (SUFFIX, PART) or file.name == ABOUT):
            yield file
