# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Rows of ``gpu.py`` on random inputs: a training step of dense VL in the plain way, and ours with and without what
makes it quick."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from cases_network import plain_network
from conditions import Conditions, random_batch
from measure import GIB, Side, gflop, host_syncs
from ours import OurTrainer, our_network
from peaks import Peak, peak_of
from plain import PlainTrainer

from monai_vlsm.engines import set_gpu
from monai_vlsm.networks import round_frozen

BLOCKS, STEPS = 3, 6  # of timed steps, after two


@dataclass(frozen=True)
class Ways:
    """How our step is taken.

    Args:
        precision: ``"fp16"``, ``"bf16"`` or ``"fp32"``.
        tf32: products of float32 with 10 bits of each factor.
        rounded: frozen weights kept in 16 bits.
        checkpointing: layers computed again in the backward pass.
        deterministic: False lets cuDNN choose the quickest kernels.
        compile: arguments of ``network.compile``; None does not compile.
        kind: what is trained, a name of `ours.ADAPTATIONS`.
    """

    precision: str = "fp16"
    tf32: bool = True
    rounded: bool = True
    checkpointing: bool = False
    deterministic: bool = True
    compile: dict[str, Any] | None = None
    kind: str = "dense_vl"

    def on(self, conditions: Conditions) -> Conditions:
        """The conditions with this precision; CPUs calculate in float32 here."""
        return replace(conditions, precision=self.precision if conditions.device == "cuda" else "fp32")


def plain(conditions: Conditions) -> Side:
    """A loop over the encoders of transformers: float32 weights that autocast rounds in each step, all 77 tokens and 12
    layers, and the loss read, as for a bar. Attention is fused, as transformers has it by default."""
    with torch.device(conditions.device):
        network = plain_network("dense_vl", conditions)
    network.model.set_attn_implementation("sdpa")
    trainer = PlainTrainer(network, conditions.torch_device)
    image, ids, mask, target = random_batch(conditions)

    return Side(lambda: float(trainer.step(image, ids[:, 0], mask[:, 0], target)), items=conditions.batch)


def ours(ways: Ways) -> Callable[[Conditions], Side]:
    """The step of a bundle: tokens wait on the CPU, and nothing is read."""

    def build(conditions: Conditions) -> Side:
        conditions = ways.on(conditions)
        with torch.device(conditions.device):
            network = our_network(ways.kind, conditions, ways.checkpointing)
        if ways.rounded and conditions.precision != "fp32":
            round_frozen(network, conditions.dtype)
        if ways.compile is not None:
            network.compile(**({"backend": "eager"} if conditions.quick else ways.compile))
        trainer = OurTrainer(network, conditions)
        image, ids, mask, target = random_batch(conditions)
        ids, mask = ids.cpu(), mask.cpu()
        return Side(lambda: trainer.step(image, ids, mask, target), items=conditions.batch)

    return build


@contextmanager
def set_up(conditions: Conditions, ways: Ways) -> Iterator[None]:
    """The switches of a process as a row wants them, and a card that nothing of the row before lies on."""
    gc.collect()
    if conditions.device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    set_gpu(conditions.device, ways.deterministic, ways.tf32)
    yield
    set_gpu(conditions.device, True, False)


def step_row(
    build: Callable[[Conditions], Side], conditions: Conditions, ways: Ways, steps: int, counted: bool = True
) -> dict[str, Any]:
    """Time, memory, operations, share of the card's peak and waits of a step.

    Args:
        build: makes the side.
        conditions: batch and device.
        ways: switches.
        steps: in each of `BLOCKS` timed blocks; a block ends when the GPU has done all.
        counted: whether operations are counted, which a compiled network does not allow.
    """
    with set_up(conditions, ways):
        side = build(conditions)
        for _ in range(2):
            side.run()
        seconds = [_block(side, conditions.device, steps) for _ in range(BLOCKS)]
        row = {"seconds": statistics.median(seconds), "fastest": min(seconds), "slowest": max(seconds)}
        row["images_per_second"] = side.items / row["seconds"]
        if conditions.device == "cuda":
            row["peak_memory_gib"] = torch.cuda.max_memory_allocated() / GIB
            row["host_syncs"] = host_syncs(side)
        if counted:
            row["gflop"] = gflop(side)
    rounded = {name: round(value, 4) for name, value in row.items()}
    return {**rounded, **peak_share(rounded, conditions.device, ways)}


def _block(side: Side, device: str, steps: int) -> float:
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(steps):
        side.run()
    wait()
    return (time.perf_counter() - start) / steps


def peak_share(row: dict[str, Any], device: str, ways: Ways) -> dict[str, Any]:
    """Operations a second, and their share of what the card can do in the precision of the encoders."""
    if "gflop" not in row:
        return {}
    reached = row["gflop"] / row["seconds"] / 1000
    peak = peak_of(torch.cuda.get_device_name()) if device == "cuda" else None
    found = {"tflop_per_second": round(reached, 3)}
    return found if peak is None else {**found, "share_of_peak": round(reached / _limit(peak, ways), 4)}


def _limit(peak: Peak, ways: Ways) -> float:
    if ways.precision != "fp32":
        return peak.half
    return peak.tf32 if ways.tf32 else peak.float32
