# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Cases on random inputs: steps of training, several prompts of an image, memory."""

from __future__ import annotations

from collections.abc import Callable

import torch
from cases import MEMORY, SPEED, Case
from conditions import Conditions, fill_adapters, plain_base, random_batch
from measure import Side, half
from ours import OurTrainer, our_network
from plain import PlainCLIPSeg, PlainTrainer, half_on_gpu
from torch import Tensor

MANY = 10


def plain_network(kind: str, conditions: Conditions) -> PlainCLIPSeg:
    """The baseline with the weights that our side has."""
    network = PlainCLIPSeg(plain_base(conditions), kind)
    fill_adapters(network.named_parameters())
    return network.to(conditions.torch_device)


def plain_step(kind: str, prompts: int = 1) -> Callable[[Conditions], Side]:
    """A step of training for each prompt of each image, one after the other."""

    def build(conditions: Conditions) -> Side:
        trainer = PlainTrainer(plain_network(kind, conditions), conditions.torch_device)
        image, ids, mask, target = random_batch(conditions, prompts)

        def run() -> None:
            for index in range(prompts):
                trainer.step(image, ids[:, index], mask[:, index], target[:, index : index + 1])

        logits = _each_prompt(trainer.network, image, ids, mask)
        return Side(run, logits, items=conditions.batch * prompts)

    return build


def our_step(
    kind: str, prompts: int = 1, checkpointing: bool = False, text_cache: str = "off"
) -> Callable[[Conditions], Side]:
    """One step of training for all prompts of each image."""

    def build(conditions: Conditions) -> Side:
        network = our_network(kind, conditions, checkpointing)
        trainer = OurTrainer(network, conditions, text_cache)
        image, ids, mask, target = random_batch(conditions, prompts)
        return Side(
            run=lambda: trainer.step(image, ids, mask, target),
            logits=lambda: trainer.network(image, ids, mask),
            items=conditions.batch * prompts,
        )

    return build


def plain_prompts(conditions: Conditions) -> Side:
    """As many forward passes as there are prompts."""
    network = plain_network("dense_vl", conditions).eval()
    image, ids, mask, _ = random_batch(conditions, MANY)
    logits = _each_prompt(network, image, ids, mask)

    def run() -> None:
        with torch.inference_mode(), half_on_gpu(conditions.torch_device):
            logits()

    return Side(run, logits, items=conditions.batch * MANY)


def our_prompts(conditions: Conditions) -> Side:
    """One forward pass with all prompts."""
    network = our_network("dense_vl", conditions).eval()
    image, ids, mask, _ = random_batch(conditions, MANY)

    def run() -> None:
        with torch.inference_mode(), half(conditions.device, conditions.dtype):
            network(image, ids, mask)

    return Side(run, lambda: network(image, ids, mask), items=conditions.batch * MANY)


def _each_prompt(network: torch.nn.Module, image: Tensor, ids: Tensor, mask: Tensor) -> Callable[[], Tensor]:
    return lambda: torch.cat([network(image, ids[:, k], mask[:, k]) for k in range(ids.shape[1])], dim=1)


def _train(name: str, title: str, target: float, kind: str, expected: int, prompts: int = 1) -> Case:
    # a text encoder that is frozen needs to see each prompt once
    ours = our_step(kind, prompts, text_cache="run" if kind == "dense_v" else "off")
    sides = {"plain": plain_step(kind, prompts), "ours": ours}
    return Case(name, title, target, SPEED, sides, "train", expected)


CASES = (
    _train("dense_vl", "dense VL, training step", 1.2, "dense_vl", 60),
    _train("dense_v", "dense V, training step, each prompt encoded once", 1.3, "dense_v", 55),
    _train("three_structures", "dense VL, training step, 3 structures of an image", 2.3, "dense_vl", 120, prompts=3),
    Case(
        "ten_prompts",
        "dense VL, inference, 10 prompts on an image",
        8,
        SPEED,
        {"plain": plain_prompts, "ours": our_prompts},
        "inference",
        80,
        {"batch": 1},
    ),
    Case(
        "checkpointing",
        "dense VL, training step, checkpointing, peak memory",
        0.5,
        MEMORY,
        {"plain": plain_step("dense_vl"), "ours": our_step("dense_vl", checkpointing=True)},
        "memory",
        240,
        {"batch": 8},
    ),
)
