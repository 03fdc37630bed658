# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of ``gpu.py`` on files: what the data side of ``vlsm_dense`` gives in a second, against what a step takes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from bundle import caches_in_scratch, image_folder, read_config, scratch
from conditions import Conditions, write_backbone
from gpu_steps import Ways, set_up
from ignite.engine import Events
from monai.bundle import ConfigParser
from ours import OurTrainer, our_network

from monai_vlsm.backbones import MINI
from monai_vlsm.engines import PromptBatch
from monai_vlsm.networks import round_frozen

SIDE, IMAGES = 1000, 256  # pixels of the JPEG, and how many an epoch has


def folder(conditions: Conditions) -> Path:
    """The images; small ones and few where only the running counts."""
    caches_in_scratch()
    return image_folder(8, 2, 60, 60) if conditions.quick else image_folder(IMAGES, 8, SIDE, SIDE)


def config(conditions: Conditions, backbone: str, **settings: Any) -> ConfigParser:
    """``train.json`` of ``vlsm_dense`` on the images."""
    return read_config(
        "vlsm_dense",
        dataset_dir=str(folder(conditions)),
        backbone=backbone,
        image_size=conditions.image_size,
        batch_size=conditions.batch,
        device=conditions.torch_device,
        amp=conditions.precision != "fp32",
        amp_dtype="bfloat16" if conditions.precision == "bf16" else "float16",
        output_dir=str(scratch() / "run"),
        ckpt_dir=str(scratch() / "run" / "models"),
        **settings,
    )


def reading(conditions: Conditions, **settings: Any) -> dict[str, Any]:
    """Images a second that arrive on the device, in the epoch after the first.

    Args:
        conditions: batch and device.
        settings: of ``train.json``; none of them takes its defaults.
    """
    loader = config(conditions, MINI, **settings).get_parsed_content("train#dataloader")
    prepare, wait = PromptBatch(meta=False), _waiter(conditions)
    seconds = []
    for _ in range(2):
        start, images = time.perf_counter(), 0
        for batch in loader:
            image = prepare(batch, conditions.torch_device, non_blocking=True)[0]
            images += len(image)
        wait()
        seconds.append(time.perf_counter() - start)
    return {
        "seconds": round(seconds[1], 3),
        "first_epoch_seconds": round(seconds[0], 3),
        "images_per_second": round(images / seconds[1], 1),
        "workers": loader.num_workers,
    }


def with_steps(conditions: Conditions, ways: Ways) -> dict[str, Any]:
    """Images a second of steps on the images that the loader gives: the lower one of data and step, if both overlap."""
    conditions = ways.on(conditions)
    with set_up(conditions, ways):
        loader = config(conditions, MINI).get_parsed_content("train#dataloader")
        with torch.device(conditions.device):
            network = our_network("dense_vl", conditions)
        if conditions.precision != "fp32":
            round_frozen(network, conditions.dtype)
        trainer, prepare, wait = OurTrainer(network, conditions), PromptBatch(meta=False), _waiter(conditions)
        for _ in range(2):
            wait()
            start, images = time.perf_counter(), 0
            for batch in loader:
                image, label, _, tokens = prepare(batch, conditions.torch_device, non_blocking=True)
                trainer.step(image, tokens["input_ids"], tokens["attention_mask"], label)
                images += len(image)
            wait()
            seconds = time.perf_counter() - start
    return {"seconds": round(seconds / len(loader), 4), "images_per_second": round(images / seconds, 1)}


def bundle(conditions: Conditions, ways: Ways) -> dict[str, Any]:
    """The trainer of ``vlsm_dense`` with its handlers but those that validate and write: epochs 2 and 3 of three.

    How often it waits for the GPU is counted in epoch 2, from the second step on; what is read at its end counts too.
    """
    conditions = ways.on(conditions)
    with set_up(conditions, ways):
        parser = config(conditions, str(write_backbone(scratch() / "gpu_backbone", conditions)))
        names = ("EpochSeed", "NaNGuard", "ClipGradNorm", "ProgressBar")
        given: dict[str, dict[str, Any]] = {"EpochSeed": {"seed": 0}, "ClipGradNorm": {"max_norm": 0.5}}
        parser["train"]["handlers"] = [
            {"_target_": f"monai_vlsm.handlers.{name}", **given.get(name, {})} for name in names
        ]
        parser["epochs"] = 3
        network, trainer = (parser.get_parsed_content(name) for name in ("network", "train#trainer"))
        if conditions.precision != "fp32":
            round_frozen(network, conditions.dtype)
        return _follow(trainer, conditions)


def _follow(trainer: Any, conditions: Conditions) -> dict[str, Any]:
    wait, marks, seen = _waiter(conditions), [], []

    def mark(_: Any) -> None:
        wait()
        marks.append(time.perf_counter())

    trainer.add_event_handler(Events.EPOCH_STARTED, mark)
    trainer.add_event_handler(Events.COMPLETED, mark)
    with _waits(trainer, conditions, seen):
        trainer.run()
    seconds, images = marks[3] - marks[2], len(trainer.data_loader.dataset)
    steps = trainer.state.epoch_length
    return {
        "seconds": round(seconds / steps, 4),
        "epoch_seconds": round(seconds, 3),
        "images_per_second": round(images / seconds, 1),
        **({"host_syncs_of_epoch": len(seen), "steps_of_epoch": steps} if conditions.device == "cuda" else {}),
    }


@contextmanager
def _waits(trainer: Any, conditions: Conditions, seen: list[str]) -> Iterator[None]:
    """Collect the warnings of torch about waits for the GPU in the second epoch, after its first step."""
    if conditions.device != "cuda":
        yield
        return
    first = trainer.state.epoch_length + 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mode = torch.cuda.set_sync_debug_mode
        trainer.add_event_handler(Events.ITERATION_COMPLETED(once=first), lambda: mode("warn"))
        trainer.add_event_handler(Events.EPOCH_COMPLETED(once=2), lambda: mode("default"))
        try:
            yield
        finally:
            mode("default")
    seen += [str(one.message) for one in caught if "synchroniz" in str(one.message)]


def _waiter(conditions: Conditions) -> Any:
    return torch.cuda.synchronize if conditions.device == "cuda" else lambda: None
