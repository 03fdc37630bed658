# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The rule of ``cache auto``, and that what it chooses changes nothing."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.caches import CachedImageDataset, choice
from monai_vlsm.caches.choice import choose_cache, free_memory
from monai_vlsm.caches.images import DiskImages, MemoryImages
from monai_vlsm.caches.packing import pack
from tests.caches.test_datasets import STEPS, records  # noqa: F401

ITEMS = [{"image": str(number)} for number in range(10)] + [{"label": str(number)} for number in range(30)]


def prepare(item: dict[str, Any]) -> dict[str, Any]:
    """An image takes 1200 bytes, a mask 50: 13,500 for all."""
    return {key: pack(torch.full((300,), 0.3) if key == "image" else torch.ones(400)) for key in item}


@pytest.mark.parametrize(
    ("memory", "disk", "ranks", "forks", "chosen"),
    [
        (27_000, 0, 1, True, "memory"),
        (26_900, 54_000, 1, True, "disk"),
        (26_900, 53_900, 1, True, "off"),
        (54_000, 0, 2, True, "memory"),
        (53_000, 54_000, 2, True, "disk"),
        (1e9, 54_000, 1, False, "disk"),
    ],
)
def test_rule(
    memory: float,
    disk: float,
    ranks: int,
    forks: bool,
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(choice, "free_memory", lambda: memory)
    monkeypatch.setattr(choice, "_free_disk", lambda _: disk)
    monkeypatch.setattr(choice, "_forks", lambda: forks)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    with caplog.at_level(logging.INFO, "monai_vlsm.caches.choice"):
        assert choose_cache(ITEMS, prepare, "somewhere", workers=2) == chosen
        monkeypatch.setenv("RANK", "1")
        assert choose_cache(ITEMS, prepare, "somewhere", workers=2) == chosen
    (line,) = caplog.messages
    assert line.startswith(f"cache {chosen}: 40 prepared files take about 13.5 kB, ")
    assert "half of" in line or chosen == "disk"
    assert "a quarter of the" in line or chosen == "memory"


def test_without_workers_nothing_is_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_forks", lambda: False)
    assert choose_cache(ITEMS, prepare, "somewhere", workers=0) == "memory"
    assert choose_cache([], prepare, "somewhere") == "memory"


def test_memory_of_the_machine_and_of_a_container(tmp_path: Path) -> None:
    assert 1e6 < free_memory() < 1e14
    assert choice._container_memory(tmp_path) == float("inf")
    for name, text in {"max": "5000\n", "current": "2000\n", "stat": "anon 1\ninactive_file 500\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert choice._container_memory(tmp_path) == 3500
    (tmp_path / "memory.max").write_text("max\n")
    assert choice._container_memory(tmp_path) == float("inf")


@pytest.mark.parametrize(("where", "kind"), [("memory", MemoryImages), ("disk", DiskImages), ("off", None)])
def test_what_is_chosen_is_taken(
    where: str,
    kind: type | None,
    records: list[dict[str, Any]],  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monai_vlsm.caches.images.choose_cache", lambda *_: where)
    dataset = CachedImageDataset(records, STEPS, "auto", cache_dir=tmp_path / "cache")
    assert dataset.images is None if kind is None else isinstance(dataset.images, kind)
    assert torch.equal(dataset[1]["image"], CachedImageDataset(records, STEPS)[1]["image"])


def test_what_cannot_be_kept_is_not(
    records: list[dict[str, Any]],  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "monai_vlsm.caches.images"):
        assert CachedImageDataset(records, STEPS[:2], "auto").images is None
        assert CachedImageDataset(records, len, "auto").images is None
    assert caplog.messages[0].startswith("cache off: a cache of images keeps what ResizeImaged returns")
