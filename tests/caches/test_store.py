# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Files of features: exact, whole or not there, noticed when damaged."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_vlsm.caches import (
    CacheRoomError,
    CacheSettingError,
    FeatureStore,
    clear_cache,
    default_folder,
    describe_cache,
)
from monai_vlsm.caches.store import readable, tensor_key

SETTINGS = {"weights": "abc", "layers": [3, 6, 9]}
FEATURES = torch.linspace(-3, 3, 24).view(3, 2, 4)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    store = FeatureStore(tmp_path, SETTINGS)
    store.write("a" * 64, FEATURES)
    store.describe()
    return store


@pytest.mark.parametrize(("dtype", "error"), [("float32", 0.0), ("float16", 2e-3), ("bfloat16", 2e-2)])
def test_comes_back(dtype: str, error: float, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path, SETTINGS, dtype)
    assert not store.is_sound("k")
    store.write("k", FEATURES)
    found = store.read("k")
    assert found is not None
    assert store.is_sound("k")
    assert found.dtype == getattr(torch, dtype)
    assert (found.float() - FEATURES).abs().max() <= error


def test_size_of_a_file(tmp_path: Path) -> None:
    """Features of one image at the size of CIDAS/clipseg-rd64-refined: 2.2 MB."""
    store = FeatureStore(tmp_path, SETTINGS, "bfloat16")
    store.write("k", torch.zeros(3, 485, 768))
    assert store.path("k").stat().st_size == pytest.approx(3 * 485 * 768 * 2, rel=1e-3)


@pytest.mark.parametrize(
    "change", [{"weights": "abd"}, {"layers": [3, 6]}, {"autocast": "torch.bfloat16"}, {"batch": 32}]
)
def test_other_settings_other_files(change: dict[str, Any], store: FeatureStore, tmp_path: Path) -> None:
    other = FeatureStore(tmp_path, {**SETTINGS, **change})
    assert other.folder != store.folder
    assert not other.is_sound("a" * 64)
    assert FeatureStore(tmp_path, dict(reversed(SETTINGS.items()))).is_sound("a" * 64)


def test_key_is_of_the_content() -> None:
    image = torch.rand(3, 4, 4)
    changed = image.clone()
    changed[0, 0, 0] += 1e-6
    keys = [tensor_key(one) for one in (image, changed, image.view(3, 2, 8), image.double())]
    assert len(set(keys)) == 4
    assert tensor_key(image.clone()) == keys[0]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-5])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [cut, flip, lambda file: file.write_bytes(b""), lambda file: file.unlink()])
def test_damage_is_noticed(damage: Any, store: FeatureStore) -> None:
    assert store.is_sound("a" * 64)
    damage(store.path("a" * 64))
    assert not store.is_sound("a" * 64)
    assert store.read("a" * 64) is None


def test_a_failed_write_leaves_nothing(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CacheRoomError, match=r"No space left.*cache_dir"):
        store.write("b" * 64, FEATURES)
    assert sorted(file.name for file in store.folder.iterdir()) == ["a" * 64 + ".features", "about.json"]


def test_room(store: FeatureStore) -> None:
    store.require_room(10)
    with pytest.raises(CacheRoomError, match=r"need .* TB more.*cache clear"):
        store.require_room(10**15)


def test_wrong_settings(tmp_path: Path) -> None:
    with pytest.raises(CacheSettingError, match="float32, float16, bfloat16, got 'int8'"):
        FeatureStore(tmp_path, SETTINGS, "int8")
    with pytest.raises(CacheSettingError, match=r"1e\+06 do not fit.*bfloat16"):
        FeatureStore(tmp_path, SETTINGS, "float16").write("k", torch.full((1, 1, 1), 1e6))
    FeatureStore(tmp_path, SETTINGS, "bfloat16").write("k", torch.full((1, 1, 1), 1e6))


def write_many(folder: Path, offset: float) -> None:
    store = FeatureStore(folder, SETTINGS)
    for _ in range(20):
        for key in range(5):
            store.write(str(key), torch.full((3, 50, 8), key + offset))


def test_two_processes_write_the_same_files(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_many, args=(tmp_path, offset)) for offset in (0.0, 0.0)]
    for process in processes:
        process.start()
    store = FeatureStore(tmp_path, SETTINGS)
    seen = 0
    while any(process.is_alive() for process in processes):
        for key in range(5):
            if store.path(str(key)).exists():
                seen += 1
                found = store.read(str(key))
                assert found is not None
                assert torch.equal(found, torch.full((3, 50, 8), float(key)))
    assert [process.exitcode for process in processes] == [0, 0]
    assert seen > 0
    assert all(store.is_sound(str(key)) for key in range(5))
    assert describe_cache(tmp_path)[0].leftovers == 0


def test_describe_and_clear(store: FeatureStore, tmp_path: Path) -> None:
    (store.folder / ".aaaa.x.part").write_bytes(b"12345")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "images").mkdir()
    (summary,) = describe_cache(tmp_path)
    assert (summary.images, summary.leftovers) == (1, 1)
    assert summary.settings == {"format": 2, "dtype": "float32", **SETTINGS}
    assert clear_cache(tmp_path) == summary.size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "notes.txt"]
    assert describe_cache(tmp_path) == []
    assert clear_cache(tmp_path / "absent") == 0


def test_clear_leaves_files_of_others(store: FeatureStore) -> None:
    (store.folder / "notes.txt").write_text("mine")
    clear_cache(store.folder.parent)
    assert [path.name for path in store.folder.iterdir()] == ["notes.txt"]


def test_default_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_folder() == "/somewhere/monai_vlsm"


@pytest.mark.parametrize(("size", "text"), [(5, "5 B"), (2_234_880, "2.23 MB"), (3e9, "3 GB"), (1.5e13, "15 TB")])
def test_readable(size: float, text: str) -> None:
    assert readable(size) == text
