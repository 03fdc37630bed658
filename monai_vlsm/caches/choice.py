# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Where prepared images are kept if nobody says: in memory or on the disk, by what is there."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_vlsm.caches.packing import Packed
from monai_vlsm.caches.store import readable
from monai_vlsm.counts import counted

__all__ = ["choose_cache", "free_memory"]

logger = logging.getLogger(__name__)

OF_MEMORY, OF_DISK = 0.5, 0.25  # shares of what is free that images may take
TRIED = 4  # files of each kind that are prepared to see how large they become

Items = Sequence[Mapping[str, Any]]


def choose_cache(
    items: Items, prepare: Callable[[Any], Mapping[str, Packed]], folder: str | os.PathLike[str], workers: int = 0
) -> str:
    """Say where prepared files go, and log it with the numbers in one line.

    In memory, if they take at most half of what is free and workers are forks, which need no copy; else on the disk, if
    they take at most a quarter of what is free there; else nowhere. Several processes of one machine share its memory.

    Args:
        items: as `monai_vlsm.caches.images.files_of_records` gives them.
        prepare: item to what is kept; a few are tried.
        folder: of the cache on the disk.
        workers: processes that will ask for items.

    Returns:
        ``"memory"``, ``"disk"`` or ``"off"``.
    """
    size = _expected_size(items, prepare)
    memory = free_memory() / int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    disk = _free_disk(Path(folder))
    where, why = "memory", f"at most half of the {readable(memory)} of memory that are free"
    if size > OF_MEMORY * memory or (workers and not _forks()):
        where, why = "disk", f"at most a quarter of the {readable(disk)} that are free in {folder}"
        if size > OF_DISK * disk:
            where, why = "off", f"more than half of the memory ({readable(memory)}) and a quarter of the disk"
            why += f" ({readable(disk)}) that are free"
    if os.environ.get("RANK", "0") == "0":
        what = counted(len(items), "prepared file")
        logger.info("cache %s: %s take about %s, %s", where, what, readable(size), why)
    return where


def _expected_size(items: Items, prepare: Callable[[Any], Mapping[str, Packed]]) -> float:
    """Bytes of all items, from a few images and a few masks."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for item in items:
        kinds.setdefault(next(iter(item)), []).append(item)
    total = 0.0
    for own in kinds.values():
        tried = own[:: max(1, len(own) // TRIED)][:TRIED]
        total += len(own) * sum(map(_size, map(prepare, tried))) / len(tried)
    return total


def _size(made: Mapping[str, Packed]) -> int:
    values = [value for packed in made.values() for value in packed.values() if isinstance(value, Tensor)]
    return sum(value.numel() * value.element_size() for value in values)


def free_memory() -> float:
    """Bytes of memory that this process may still take: of the machine, and of its container if there is one."""
    return min(_machine_memory(), _container_memory())


def _machine_memory() -> float:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return float(values["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):  # not Linux: half of what there is
        known = getattr(os, "sysconf_names", {})
        if "SC_PHYS_PAGES" not in known:
            return 0.0
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2


def _container_memory(group: Path = Path("/sys/fs/cgroup")) -> float:
    """Of the control group, less what it has taken; files that could be dropped do not count as taken."""
    try:
        most, taken = (float((group / name).read_text()) for name in ("memory.max", "memory.current"))
        kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return most - taken + float(kept.get("inactive_file", 0))
    except (OSError, ValueError):  # none, or the word "max": no limit
        return float("inf")


def _free_disk(folder: Path) -> float:
    there = next((path for path in (folder, *folder.absolute().parents) if path.is_dir()), Path())
    return float(shutil.disk_usage(there).free) if os.access(there, os.W_OK) else 0.0


def _forks() -> bool:
    chosen = multiprocessing.get_start_method(allow_none=True)
    return (chosen or multiprocessing.get_all_start_methods()[0]) == "fork"
