# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import CacheDataset, DataLoader, Dataset, DistributedSampler
from monai.transforms import Compose, Lambda, RandScaleIntensity

from monai_vlsm.data import SeededLoader
from monai_vlsm.data.shares import epoch_seed
from monai_vlsm.handlers import EpochSeed


def _epochs(
    first: int, last: int, workers: int, kind: type = Dataset, seed: int = 3, loading: type = DataLoader
) -> list[list[float]]:
    """What a trainer sees in each epoch: shuffled, randomly scaled numbers; starts after epoch ``first - 1``."""
    torch.manual_seed(first)  # whatever happened before must not matter
    transform = Compose([Lambda(torch.as_tensor), RandScaleIntensity(factors=0.5, prob=1.0)])
    loader = loading(kind(list(range(1, 9)), transform), batch_size=2, shuffle=True, num_workers=workers)
    seen: list[list[float]] = []
    engine = Engine(lambda _, batch: seen[-1].extend(batch.tolist()))
    EpochSeed(seed).attach(engine)
    engine.add_event_handler(Events.EPOCH_STARTED, lambda _: seen.append([]))
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: torch.rand(5))  # a validation that draws
    engine.load_state_dict({"epoch": first - 1, "max_epochs": last, "epoch_length": len(loader)})
    engine.run(loader)
    return seen


@pytest.mark.parametrize(
    ("loading", "workers", "kind"),
    [
        (DataLoader, 0, Dataset),
        (DataLoader, 0, CacheDataset),
        (DataLoader, 2, Dataset),
        (SeededLoader, 0, Dataset),
        (SeededLoader, 0, CacheDataset),
        (SeededLoader, 2, CacheDataset),
        pytest.param(DataLoader, 2, CacheDataset, marks=pytest.mark.slow),
        pytest.param(SeededLoader, 2, Dataset, marks=pytest.mark.slow),
    ],
)
def test_an_epoch_is_the_same_wherever_the_run_began(workers: int, kind: Any, loading: type) -> None:
    kind = (lambda *args: CacheDataset(*args, progress=False)) if kind is CacheDataset else kind
    whole = _epochs(1, 3, workers, kind, loading=loading)
    assert whole[1:] == _epochs(2, 3, workers, kind, loading=loading)
    assert whole[2:] == _epochs(3, 3, workers, kind, loading=loading)


def test_epochs_and_seeds_differ() -> None:
    one, two = _epochs(1, 2, 0)
    assert sorted(one) != one
    assert one != two
    assert set(one).isdisjoint(two)
    assert _epochs(1, 1, 0, seed=4)[0] != one


def test_every_generator_is_seeded() -> None:
    def draws() -> list[float]:
        values: list[float] = []
        engine = Engine(lambda *_: values.extend([random.random(), np.random.rand(), float(torch.rand(1))]))
        EpochSeed(0).attach(engine)
        engine.run([0])
        return values

    assert draws() == draws()


def test_processes_get_their_own_seeds() -> None:
    seeds = {epoch_seed(seed, epoch, rank) for seed in range(3) for epoch in range(3) for rank in range(3)}
    assert len(seeds) == 27
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_errors() -> None:
    with pytest.raises(ValueError, match="at least 0, got -1"):
        EpochSeed(-1)
    engine = Engine(lambda *_: None)
    EpochSeed(0).attach(engine)
    with pytest.raises(ValueError, match="SeededLoader, or set persistent_workers=False"):
        engine.run(DataLoader(Dataset([1, 2]), num_workers=1, persistent_workers=True))


def test_samplers_of_torch_and_monai_follow_seed_and_epoch() -> None:
    def orders(seed: int) -> list[list[int]]:
        seen: list[list[int]] = []
        loader = DataLoader(Dataset([*range(9)]), sampler=DistributedSampler(Dataset([*range(9)]), True, 2, 0))
        engine = Engine(lambda _, batch: seen[-1].extend(batch.tolist()))
        engine.add_event_handler(Events.EPOCH_STARTED, lambda _: seen.append([]))
        EpochSeed(seed).attach(engine)
        engine.run(loader, max_epochs=2)
        return seen

    first, second = orders(1), orders(2)
    assert first[0] != first[1] and first != second
    assert orders(1) == first
