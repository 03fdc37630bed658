# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The data set with features: what its items hold, what is computed when, what is refused."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.transforms import Compose, Invertd, LoadImaged, RandFlipd
from PIL import Image
from torch import Tensor

from monai_vlsm.adapters import Adaptation, DenseAdaptation, FineTuning, ShallowAdaptation
from monai_vlsm.caches import (
    CacheDamagedError,
    CacheRoomError,
    CacheSettingError,
    CacheTransformError,
    FeatureDataset,
    PromptCache,
    describe_cache,
)
from monai_vlsm.data import ImageFileReader, load_datalist
from monai_vlsm.inferers import FEATURES_KEY, PromptInferer
from monai_vlsm.networks import CLIPSegNet, CRISNet, NotFrozenError, SANNet
from monai_vlsm.transforms import BinarizeMaskd, RandSelectPromptd, ResizeImaged, TokenizePromptd, ToRGBd
from tests.bundles.dataset import write_dataset

SIZE = 32


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "data", train=5, val=1)


@pytest.fixture(scope="module")
def network(backbone: Path) -> CLIPSegNet:
    return CLIPSegNet(backbone, ShallowAdaptation("v", width=4), image_size=SIZE)


def plain(folder: Path, backbone: Path, size: int = SIZE, last: list[Any] | None = None) -> Dataset:
    """A data set as the bundles have it, with all prompts of an image in one record."""
    chain = [
        LoadImaged("image", reader=ImageFileReader(), ensure_channel_first=True, dtype=None),
        LoadImaged("label", reader=ImageFileReader("mask"), ensure_channel_first=True, dtype=None),
        ToRGBd("image"),
        BinarizeMaskd("label"),
        ResizeImaged(["image", "label"], size, ["bilinear", "nearest"]),
        RandSelectPromptd("prompt"),
        TokenizePromptd(tokenizer=backbone),
        *(last or []),
    ]
    return Dataset(load_datalist(str(folder), "train", multi_prompt=True, check=False), Compose(chain))


def encoded(network: CLIPSegNet, item: dict[str, Any]) -> Tensor:
    return network.encode_frozen_image(item["image"].as_tensor()[None])[0].detach()


def test_items_hold_what_they_held(network: CLIPSegNet, data: Path, backbone: Path, tmp_path: Path) -> None:
    original = plain(data, backbone)
    cached = FeatureDataset(original, network, tmp_path / "cache")
    assert len(cached) == len(original)
    for index in range(len(original)):
        original.transform.set_random_state(3)
        expected = original[index]
        original.transform.set_random_state(3)
        found = cached[index]
        assert found.keys() == expected.keys()
        assert found["image"].shape == (3, 5, 12)
        assert torch.equal(found["image"].as_tensor(), encoded(network, expected))
        assert found["image"].meta[FEATURES_KEY] == index
        assert found["image"].meta.keys() == {*expected["image"].meta, FEATURES_KEY}
        assert found["prompt"] == expected["prompt"]
        for key in ("label", "input_ids", "attention_mask"):
            assert torch.equal(torch.as_tensor(found[key]), torch.as_tensor(expected[key]))
        assert torch.equal(cached.image(found), expected["image"])


def test_through_the_inferer_and_back_to_the_original_size(
    network: CLIPSegNet, data: Path, backbone: Path, tmp_path: Path
) -> None:
    original = plain(data, backbone)
    cached = FeatureDataset(original, network, tmp_path / "cache")
    results = []
    for dataset in (original, cached):
        torch.manual_seed(5)  # MONAI's loader seeds the transforms from torch
        batch = next(iter(DataLoader(dataset, batch_size=1)))
        with torch.no_grad():
            logits = PromptInferer(cpu_autocast=False)(batch["image"], network, batch["input_ids"])
        item = {"pred": MetaTensor(logits[0]), "image": dataset[0]["image"]}
        results.append(Invertd("pred", original.transform, orig_keys="image", nearest_interp=False)(item)["pred"])
    assert results[0].shape == (2, 40, 48)
    assert torch.equal(results[0].as_tensor(), results[1].as_tensor())


class Counting(CLIPSegNet):
    """Counts the images that pass its encoder."""

    seen = 0

    def encode_frozen_image(self, image: Tensor) -> Tensor:
        self.seen += len(image)
        return super().encode_frozen_image(image)


@pytest.fixture
def counting(backbone: Path) -> Counting:
    return Counting(backbone, FineTuning("decoder"), image_size=SIZE)


def test_nothing_is_computed_twice(counting: Counting, data: Path, backbone: Path, tmp_path: Path) -> None:
    for expected in (5, 5):
        dataset = FeatureDataset(plain(data, backbone), counting, tmp_path / "cache")
        for _ in range(2):
            assert [dataset[index]["image"].shape[0] for index in range(5)] == [3] * 5
        assert counting.seen == expected
    shallow = CLIPSegNet(backbone, ShallowAdaptation("v", width=4), image_size=SIZE)
    FeatureDataset(plain(data, backbone), shallow, tmp_path / "cache")
    assert [store.images for store in describe_cache(tmp_path / "cache")] == [5]  # the same encoder, the same files


def test_a_short_batch_is_filled_up(counting: Counting, data: Path, backbone: Path, tmp_path: Path) -> None:
    FeatureDataset(plain(data, backbone), counting, tmp_path / "cache", batch_size=4)
    assert counting.seen == 8


def damage(file: Path, kind: str) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.unlink() if kind == "removed" else file.write_bytes(content[:50] if kind == "cut" else content)


def file_of(dataset: FeatureDataset, index: int) -> Path:
    """Where the store keeps what an item is made of."""
    keys: list[str] = []
    read = dataset.store.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset.store, "read", lambda key: (keys.append(key), read(key))[1])
        dataset[index]
    return dataset.store.path(keys[0])


@pytest.mark.parametrize("kind", ["removed", "cut", "flipped"])
def test_damage_while_a_run_goes_on(kind: str, counting: Counting, data: Path, backbone: Path, tmp_path: Path) -> None:
    dataset = FeatureDataset(plain(data, backbone), counting, tmp_path / "cache", batch_size=2)
    expected = [dataset[index]["image"].as_tensor() for index in range(5)]
    damage(file_of(dataset, 2), kind)
    counting.seen = 0
    assert all(torch.equal(dataset[index]["image"].as_tensor(), expected[index]) for index in range(5))
    assert torch.equal(dataset[2]["image"].as_tensor(), expected[2])
    assert counting.seen == 2  # one batch, and kept again


def test_a_spawned_worker_has_no_encoder(network: CLIPSegNet, data: Path, backbone: Path, tmp_path: Path) -> None:
    dataset = FeatureDataset(plain(data, backbone), network, tmp_path / "cache")
    there = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(there[0]["image"].as_tensor(), dataset[0]["image"].as_tensor())
    damage(file_of(dataset, 0), "flipped")
    with pytest.raises(CacheDamagedError, match=r"missing or damaged, and this worker has no encoder .* Start again"):
        there[0]
    dataset[0]
    there[0]


def test_an_image_that_changes_with_its_features(
    network: CLIPSegNet, data: Path, backbone: Path, tmp_path: Path
) -> None:
    dataset = FeatureDataset(plain(data, backbone), network, tmp_path / "cache")
    damage(file_of(dataset, 0), "removed")
    Image.new("RGB", (48, 40), "white").save(dataset.data[0]["image"])
    with pytest.raises(CacheDamagedError, match="their image has changed"):
        dataset[0]


def changed_image(data: Path) -> None:
    Image.fromarray(np.full((40, 48, 3), 7, np.uint8)).save(data / "images" / "train_0.png")


def cut_entries(data: Path) -> None:
    for file in sorted((data.parent / "cache").glob("*/*.features"))[:2]:
        file.write_bytes(file.read_bytes()[:100])


def leftovers(data: Path) -> None:
    folder = next((data.parent / "cache").iterdir())
    (folder / ".abc.part").write_bytes(b"half a file")


@pytest.mark.parametrize(("event", "computed"), [(changed_image, 1), (cut_entries, 2), (leftovers, 0)])
def test_what_changed_is_computed_again(
    event: Any, computed: int, counting: Counting, data: Path, backbone: Path, tmp_path: Path
) -> None:
    FeatureDataset(plain(data, backbone), counting, tmp_path / "cache")
    event(data)
    before, original = counting.seen, plain(data, backbone)
    dataset = FeatureDataset(original, counting, tmp_path / "cache")
    assert counting.seen - before == computed
    for index in range(5):
        assert torch.equal(dataset[index]["image"].as_tensor(), encoded(counting, original[index]))


def test_another_size_or_base_is_another_entry(data: Path, backbone: Path, tmp_path: Path) -> None:
    for size, seed in ((32, None), (48, None), (32, 1)):
        network = CLIPSegNet(backbone, FineTuning("decoder"), image_size=size)
        if seed is not None:
            torch.nn.init.constant_(network.base.clip.vision_model.pre_layrnorm.bias, 0.5)
        original = plain(data, backbone, size)
        dataset = FeatureDataset(original, network, tmp_path / "cache")
        assert torch.equal(dataset[0]["image"].as_tensor(), encoded(network, original[0]))
    assert sorted(store.images for store in describe_cache(tmp_path / "cache")) == [5, 10]


def test_size_is_announced(
    counting: Counting, data: Path, backbone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FeatureDataset(plain(data, backbone), counting, tmp_path / "cache", dtype="bfloat16")
    printed = capsys.readouterr().out
    assert f"{3 * 5 * 12 * 2} B for each of 5 images, 1.8 kB in all" in printed
    FeatureDataset(plain(data, backbone), counting, tmp_path / "cache", dtype="bfloat16")
    assert capsys.readouterr().out == ""


def test_no_room(
    counting: Counting, data: Path, backbone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(CacheRoomError, match=r"need 3\.6 kB more .* has 1 kB free"):
        FeatureDataset(plain(data, backbone), counting, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.features"))


def fill(data: Path, backbone: Path, cache: Path, start: Any) -> None:
    torch.set_num_threads(1)
    network = CLIPSegNet(backbone, FineTuning("decoder"), image_size=SIZE)
    start.wait(60)
    dataset = FeatureDataset(plain(data, backbone), network, cache)
    expected = [encoded(network, item) for item in plain(data, backbone)]
    assert all(torch.equal(dataset[index]["image"].as_tensor(), own) for index, own in enumerate(expected))


def test_two_processes_fill_one_cache(data: Path, backbone: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(2)
    arguments = (data, backbone, tmp_path / "cache", start)
    processes = [context.Process(target=fill, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    (summary,) = describe_cache(tmp_path / "cache")
    assert (summary.images, summary.leftovers) == (5, 0)


@pytest.mark.parametrize(
    ("adaptation", "encoders"),
    [
        (None, {"vision", "text"}),
        (ShallowAdaptation("vl", width=4), {"vision", "text"}),
        (FineTuning("none"), {"vision", "text"}),
        (FineTuning("decoder"), {"vision", "text"}),
        (FineTuning("full"), set()),
        (DenseAdaptation("v", width=4), {"text"}),
        (DenseAdaptation("vl", width=4), set()),
    ],
)
def test_which_encoders_stay(adaptation: Adaptation | None, encoders: set[str], backbone: Path) -> None:
    assert CLIPSegNet(backbone, adaptation, image_size=SIZE).frozen_encoders == encoders


def test_an_encoder_that_somebody_lets_train(backbone: Path) -> None:
    network = CLIPSegNet(backbone, ShallowAdaptation("v", width=4), image_size=SIZE)
    network.base.clip.vision_model.embeddings.class_embedding.requires_grad_(True)
    assert network.frozen_encoders == {"text"}
    with pytest.raises(NotFrozenError, match="cache_features to False"):
        network.frozen_settings("vision")


@pytest.mark.parametrize("build", [lambda: CRISNet("cris-mini", image_size=64), lambda: SANNet("san-mini")])
def test_networks_that_cannot(build: Any, data: Path, backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFrozenError, match=r"vision encoder cannot be kept.*(CRISNet|SANNet)"):
        FeatureDataset(plain(data, backbone), build(), tmp_path / "cache")


def test_random_images(network: CLIPSegNet, data: Path, backbone: Path, tmp_path: Path) -> None:
    dataset = plain(data, backbone, last=[RandFlipd(["image", "label"])])
    with pytest.raises(CacheTransformError, match="RandFlipd"):
        FeatureDataset(dataset, network, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_volumes(network: CLIPSegNet, tmp_path: Path) -> None:
    dataset = Dataset([{"image": torch.zeros(3, 32, 32, 4)}], Compose([]))
    with pytest.raises(CacheSettingError, match=r"\(3, 32, 32, 4\)"):
        FeatureDataset(dataset, network, tmp_path / "cache")


def test_behind_the_wrapper_for_several_gpus(network: CLIPSegNet, data: Path, backbone: Path, tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        wrapped = torch.nn.parallel.DistributedDataParallel(network)
        batch = next(iter(DataLoader(FeatureDataset(plain(data, backbone), wrapped, tmp_path / "cache"), batch_size=5)))
        inferer = PromptInferer(cpu_autocast=False, prompts=PromptCache(wrapped))
        inferer(batch["image"], wrapped, batch["input_ids"]).mean().backward()
        assert all(parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad)
    finally:
        torch.distributed.destroy_process_group()
        network.zero_grad()


def test_about_file(network: CLIPSegNet, data: Path, backbone: Path, tmp_path: Path) -> None:
    FeatureDataset(plain(data, backbone), network, tmp_path / "cache", autocast=torch.bfloat16, batch_size=2)
    (about,) = (tmp_path / "cache").glob("*/about.json")
    settings = json.loads(about.read_text())
    assert settings["layers"] == [3, 6, 9]
    assert (settings["autocast"], settings["batch"], settings["dtype"]) == ("torch.bfloat16", 2, "float32")


def test_filling_draws_nothing(network: CLIPSegNet, data: Path, backbone: Path, tmp_path: Path) -> None:
    dataset = plain(data, backbone)
    dataset.transform.set_random_state(7)
    torch.manual_seed(7)
    expected = torch.rand(1)
    drawn = dataset[0]["prompt"], dataset[1]["prompt"]
    dataset.transform.set_random_state(7)
    torch.manual_seed(7)
    cached = FeatureDataset(dataset, network, tmp_path / "cache")
    assert torch.equal(torch.rand(1), expected)
    assert (cached[0]["prompt"], cached[1]["prompt"]) == drawn
