# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Cached images: the same batches to the bit, each file decoded once, faults of files and transforms named."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor, decollate_batch
from monai.data.utils import set_rnd
from monai.transforms import CopyItemsd, Invertd, Lambda, LoadImaged, NormalizeIntensityd, RandFlipd
from PIL import Image

from monai_vlsm.caches import CachedImageDataset, MixedTransformsError, image_files
from monai_vlsm.caches.images import describe
from monai_vlsm.data import DatasetProblems, ImageFileReader, load_datalist
from monai_vlsm.io import WriteError
from monai_vlsm.transforms import BinarizeMaskd, RandSelectPromptd, ResizeImaged, ToRGBd
from tests.bundles.dataset import write_dataset

MODES = ["memory", "disk"]
SIZE = 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", train=3, val=1)


def steps(size: int = SIZE) -> list[Any]:
    """The transforms of validation, with a random prompt."""
    return [
        LoadImaged("image", reader=ImageFileReader(), ensure_channel_first=True, dtype=None),
        LoadImaged("label", reader=ImageFileReader("mask"), ensure_channel_first=True, dtype=None),
        ToRGBd("image"),
        BinarizeMaskd("label"),
        CopyItemsd("label", names="target"),
        ResizeImaged(["image", "target"], size, mode=["bilinear", "nearest"]),
        NormalizeIntensityd("image", subtrahend=[0.5] * 3, divisor=[0.2] * 3, channel_wise=True),
        RandSelectPromptd("prompt"),
    ]


def dataset(folder: Path, cache: str, multi_prompt: bool = False, **options: Any) -> CachedImageDataset:
    records = load_datalist(folder, "train", multi_prompt=multi_prompt, check=False)
    return CachedImageDataset(records, steps(), cache=cache, cache_dir=folder / "cache", **options)


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    loads: list[str] = []
    get_data = ImageFileReader.get_data

    def counting(reader: ImageFileReader, files: Sequence[Path]) -> Any:
        loads.extend(file.name for file in files)
        return get_data(reader, files)

    monkeypatch.setattr(ImageFileReader, "get_data", counting)
    return loads


def plain(item: dict[str, Any]) -> dict[str, Any]:
    """Values without their meta; the meta of images by itself."""
    values = {key: value.as_tensor() if isinstance(value, MetaTensor) else value for key, value in item.items()}
    meta = {key: str(value.meta["filename_or_obj"]) for key, value in item.items() if isinstance(value, MetaTensor)}
    return {**values, **{f"{key} file": name for key, name in meta.items()}}


def assert_same(first: dict[str, Any], second: dict[str, Any]) -> None:
    first, second = plain(first), plain(second)
    assert list(first) == list(second)
    for key, value in first.items():
        assert torch.equal(value, second[key]) if isinstance(value, torch.Tensor) else value == second[key], key


@pytest.mark.parametrize("cache", MODES)
@pytest.mark.parametrize(("multi_prompt", "workers"), [(False, 0), (True, 0), (True, 2)])
def test_same_batches(folder: Path, cache: str, multi_prompt: bool, workers: int) -> None:
    sets = [dataset(folder, mode, multi_prompt) for mode in ("off", cache)]
    for epoch in range(2):
        batches = []
        for one in sets:
            torch.manual_seed(epoch)
            set_rnd(one, epoch)
            loader = DataLoader(one, batch_size=1, shuffle=True, num_workers=workers)
            batches.append([item for batch in loader for item in decollate_batch(batch)])
        for first, second in zip(*batches, strict=True):
            assert_same(first, second)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0])
def test_part_of_it_in_memory(folder: Path, rate: float, monkeypatch: pytest.MonkeyPatch) -> None:
    off, cached = dataset(folder, "off"), dataset(folder, "memory", cache_rate=rate)
    loads = count_loads(monkeypatch)
    for index in range(len(off)):
        for one in (off, cached):
            set_rnd(one, 1)
        assert_same(off[index], cached[index])
    files = 3 + 6  # images and masks
    assert len(set(loads)) == files
    assert len(loads) - 2 * len(off) == {0.0: 12, 0.5: 6, 1.0: 0}[rate]  # 0.5: of the fourth item on


@pytest.mark.parametrize("cache", MODES)
def test_each_file_is_decoded_once(folder: Path, cache: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = count_loads(monkeypatch)
    cached = dataset(folder, cache)
    for _ in range(3):
        for index in range(len(cached)):
            cached[index]
    assert len(loads) == len(set(loads)) == 3 + 6


def test_disk_is_read_by_the_next_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset(folder, "disk")[0]
    loads = count_loads(monkeypatch)
    dataset(folder, "disk")[0]
    assert not loads


def damage(file: Path, change: str) -> None:
    content = bytearray(file.read_bytes())
    if change == "folder deleted":
        file.unlink()
    elif change == "truncated":
        file.write_bytes(content[: len(content) // 2])
    else:
        content[-300] ^= 1
        file.write_bytes(content)


def test_damage_while_a_run_goes_on(folder: Path) -> None:
    cached, expected = dataset(folder, "disk"), dataset(folder, "off")
    for change in ("flipped", "truncated", "folder deleted"):
        for file in (folder / "cache").glob("*"):
            damage(file, change)
        for index in range(len(cached)):
            for one in (expected, cached):
                set_rnd(one, 1)
            assert_same(expected[index], cached[index])
    assert len(image_files(folder / "cache")) == 3 + 6


def test_a_folder_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    data = load_datalist(folder, "train", check=False)
    with pytest.raises(WriteError, match=r"cannot write to the folder .*file"):
        CachedImageDataset(data, steps(), cache="disk", cache_dir=tmp_path / "file")


def test_a_full_folder_need_not_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dataset(folder, "disk")
    for index in range(len(first)):
        first[index]

    def refuse(*_: Any) -> None:
        raise WriteError("not allowed")

    monkeypatch.setattr("monai_vlsm.caches.images.require_writable", refuse)
    dataset(folder, "disk")[0]


@pytest.mark.parametrize("change", ["file", "size", "folder deleted", "truncated", "flipped"])
def test_disk_sees_changes(folder: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = dataset(folder, "disk")
    first[0]
    files = sorted((folder / "cache").iterdir())
    assert len(files) == 2
    if change == "file":
        path = folder / "images" / "train_0.png"
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
        os.utime(path, ns=(1, 1))
    elif change != "size":
        for file in files:
            damage(file, change)
    loads = count_loads(monkeypatch)
    again = (
        dataset(folder, "disk")
        if change != "size"
        else CachedImageDataset(first.data, steps(48), cache="disk", cache_dir=folder / "cache")
    )
    item = again[0]
    assert sorted(loads) == (["train_0.png"] if change == "file" else ["train_0.png", "train_0_left.png"])
    assert torch.equal(item["image"], CachedImageDataset(first.data, again.transform)[0]["image"])


@pytest.mark.parametrize("cache", ["off", *MODES])
def test_faulty_file(folder: Path, cache: str) -> None:
    (folder / "images" / "train_0.png").write_bytes(b"no image")
    with pytest.raises(RuntimeError) as raised:
        dataset(folder, cache)[0]
    causes: list[BaseException | None] = [raised.value]
    while causes[-1] is not None:
        causes.append(causes[-1].__cause__)
    assert any(isinstance(cause, DatasetProblems) for cause in causes)


@pytest.mark.parametrize("cache", MODES)
def test_predictions_go_back_to_the_original_size(folder: Path, cache: str) -> None:
    cached = dataset(folder, cache)
    for _ in range(2):  # the second time from the file
        item = cached[2]
        item["pred"] = MetaTensor(torch.ones(1, SIZE, SIZE)).copy_meta_from(item["image"])
        invert = Invertd("pred", cached.transform, orig_keys="image", nearest_interp=False)
        assert invert(item)["pred"].shape == item["label"].shape


FAULTS = [
    (lambda: [*steps()[:4], RandFlipd("image", prob=1), *steps()[4:]], "RandFlipd is random"),
    (lambda: [Lambda(lambda x: x), *steps()], "Lambda is no dictionary transform"),
    (lambda: steps()[:5], "these transforms have none"),
]


@pytest.mark.parametrize("cache", MODES)
@pytest.mark.parametrize(("transforms", "message"), FAULTS)
def test_transforms_that_cannot_be_kept(cache: str, transforms: Any, message: str, tmp_path: Path) -> None:
    CachedImageDataset([], transforms(), cache="off")
    with pytest.raises(MixedTransformsError, match=message):
        CachedImageDataset([], transforms(), cache=cache, cache_dir=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"), [({"cache": "ram"}, "known: auto, off, memory, disk"), ({"cache_rate": 1.5}, "from 0 to 1")]
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CachedImageDataset([], steps(), **options)


def test_images_lie_in_the_users_cache(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    CachedImageDataset(load_datalist(folder, "train", check=False), steps(), cache="disk")[0]
    assert len(image_files(tmp_path / "monai_vlsm" / "images")) == 2  # the image and its mask


def test_description_of_transforms(folder: Path) -> None:
    used = dataset(folder, "off")
    used[0]
    assert describe(used.transform.transforms[:6]) == describe(steps()[:6])
    assert describe(steps(48)[:6]) != describe(steps()[:6])
    assert " at 0x" not in str(describe(steps()[:6]))
