# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Many threads, one bank: the same numbers as one thread alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import AdapterBank, AdapterNameError
from tests.serving.models import ask

KINDS = ("dense v", "dense vlc", "shallow", "decoder")
THREADS = 16
ROUNDS = 6
Files = dict[str, Path]
Networks = dict[str, CLIPSegNet]


def in_threads(work: Callable[[int], None]) -> None:
    """Run ``work`` in all threads, which begin at the same moment; an error in one of them is raised here."""
    barrier = threading.Barrier(THREADS)

    def begin(thread: int) -> None:
        barrier.wait(timeout=30)
        work(thread)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(begin, range(THREADS)))


def same(logits: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal but for rounding: the bank's weights lie at other addresses than those of the network that stands alone."""
    return torch.allclose(logits, expected, atol=1e-6, rtol=1e-5)


@pytest.fixture(scope="module")
def loaded(backbone: Path, files: Files) -> AdapterBank:
    bank = AdapterBank(backbone)
    for kind in KINDS:
        bank.load(kind, files[kind])
    return bank


@pytest.fixture(scope="module")
def expected(trained: Networks) -> dict[tuple[str, int], torch.Tensor]:
    return {(kind, seed): ask(trained[kind], seed) for kind in KINDS for seed in range(ROUNDS)}


def test_predictions(loaded: AdapterBank, expected: dict[tuple[str, int], torch.Tensor]) -> None:
    wrong: list[tuple[str, int]] = []

    def work(thread: int) -> None:
        for seed in range(ROUNDS):
            kind = KINDS[(thread + seed) % len(KINDS)]
            if not same(ask(loaded.network(kind), seed), expected[kind, seed]):
                wrong.append((kind, seed))

    in_threads(work)
    assert not wrong


def test_loading_and_unloading_meanwhile(
    loaded: AdapterBank, files: Files, expected: dict[tuple[str, int], torch.Tensor]
) -> None:
    wrong: list[tuple[str, int]] = []

    def work(thread: int) -> None:
        if thread < 4:
            change(thread)
            return
        for seed in range(ROUNDS):
            kind = KINDS[(thread + seed) % len(KINDS)]
            if not same(ask(loaded.network(kind), seed), expected[kind, seed]):
                wrong.append((kind, seed))

    def change(thread: int) -> None:
        kind, name = KINDS[thread], f"extra {thread}"
        for seed in range(1):
            loaded.load(name, files[kind])
            network = loaded.network(name)
            loaded.unload(name)
            if not same(ask(network, seed), expected[kind, seed]):  # a request that began before goes on
                wrong.append((name, seed))

    in_threads(work)
    assert not wrong
    assert loaded.names == KINDS


def test_one_of_many_gets_a_name(bank: AdapterBank, files: Files) -> None:
    refused: list[int] = []

    def work(thread: int) -> None:
        try:
            bank.load("a", files["none"])
        except AdapterNameError:
            refused.append(thread)

    in_threads(work)
    assert len(refused) == THREADS - 1
    assert bank.names == ("a",)
