# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Cases on files: whole epochs with and without caches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from bundle import backbone_folder, caches_in_scratch, image_folder, read_config, without_files
from cases import SPEED, Case
from cases_network import plain_network
from conditions import Conditions, fill_adapters, random_batch
from measure import Side
from plain import PlainImages, PlainTrainer, plain_batches

from monai_vlsm.backbones import MINI, load_tokenizer

BUNDLE_OF = {"shallow_vl": "vlsm_shallow", "decoder": "clipseg"}
IMAGES = 8  # images of 12 megapixels
EPOCH = 32  # images of an epoch whose features are kept: few would be quicker than what an epoch begins with


def plain_epoch(kind: str) -> Callable[[Conditions], Side]:
    """Decode, resize, run the whole network, and step, for each batch."""

    def build(conditions: Conditions) -> Side:
        trainer = PlainTrainer(plain_network(kind, conditions), conditions.torch_device)
        images = plain_images(conditions, image_folder(EPOCH, 1, 640, 480), conditions.image_size)
        image, ids, mask, _ = random_batch(conditions)

        def run() -> None:
            for batch in plain_batches(images, conditions.batch):
                trainer.step(*(part.to(conditions.device) for part in batch))

        return Side(run, lambda: trainer.network(image, ids[:, 0], mask[:, 0]), items=EPOCH)

    return build


def plain_images(conditions: Conditions, folder: Path, size: int, backbone: str | Path | None = None) -> PlainImages:
    """The training images of a folder."""
    rows = json.loads((folder / "train.json").read_text())
    return PlainImages(rows, folder, size, load_tokenizer(backbone or backbone_folder(conditions)))


def our_epoch(kind: str) -> Callable[[Conditions], Side]:
    """An epoch of the bundle's trainer after the first, with the features of the frozen encoders kept."""

    def build(conditions: Conditions) -> Side:
        caches_in_scratch()
        parser = read_config(
            BUNDLE_OF[kind],
            dataset_dir=str(image_folder(EPOCH, 1, 640, 480)),
            backbone=str(backbone_folder(conditions)),
            batch_size=conditions.batch,
            num_workers=0,
            attention=conditions.attention,
            amp=conditions.precision != "fp32",
            device=conditions.torch_device,
            cache_features=True,
            text_cache="run",
        )
        without_files(parser)
        network = parser.get_parsed_content("network")
        fill_adapters(network.named_parameters())
        trainer = parser.get_parsed_content("train#trainer")
        image, ids, mask, _ = random_batch(conditions)
        return Side(trainer.run, lambda: network(image, ids, mask), items=EPOCH)

    return build


def reading(width: int, height: int) -> dict[str, Callable[[Conditions], Side]]:
    """Both ways of getting the batches of an epoch from files; ours keeps decoded and resized images in memory."""

    def folder(conditions: Conditions) -> Path:
        return image_folder(IMAGES, 1, *(side // 10 if conditions.quick else side for side in (width, height)))

    def plain(conditions: Conditions) -> Side:
        images = plain_images(conditions, folder(conditions), conditions.image_size, MINI)
        return Side(lambda: _exhaust(plain_batches(images, conditions.batch)), items=IMAGES)

    def ours(conditions: Conditions) -> Side:
        parser = read_config(
            "vlsm_dense",
            dataset_dir=str(folder(conditions)),
            backbone=MINI,
            image_size=conditions.image_size,
            batch_size=conditions.batch,
            num_workers=0,
            cache="memory",
        )
        loader = parser.get_parsed_content("train#dataloader")
        return Side(lambda: _exhaust(loader), items=IMAGES)

    return {"plain": plain, "ours": ours}


def _exhaust(batches: Iterable[object]) -> None:
    for _ in batches:
        pass


def _cached(name: str, title: str, target: float, kind: str) -> Case:
    sides = {"plain": plain_epoch(kind), "ours": our_epoch(kind)}
    return Case(name, title, target, SPEED, sides, "epoch", 230, settings={"batch": 8})


CASES = (
    _cached("shallow_vl", "shallow VL, epoch after the first, features kept", 10, "shallow_vl"),
    _cached("decoder", "decoder of CLIPSeg, epoch after the first, features kept", 20, "decoder"),
    Case(
        "large_images",
        "reading 4000 x 3000 JPEG, epoch after the first, images kept",
        10,
        SPEED,
        reading(4000, 3000),
        "data",
        40,
        counted=False,
    ),
)
