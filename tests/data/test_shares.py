# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import Dataset

from monai_vlsm.data import ScoringShare, SeededLoader, TrainingShare
from monai_vlsm.handlers import EpochSeed


def share(cases: str, processes: int, whole: bool = True) -> list[list[int]]:
    """What each process gets of records, a letter for each of a volume and a dot for each image."""
    data: Any = Dataset([{"case": case if case != "." else "", "dataset": "d"} for case in cases])
    return [list(ScoringShare(data, whole, processes, rank)) for rank in range(processes)]


def test_images_one_by_one_and_volumes_as_a_whole() -> None:
    assert share(".....", 2) == [[0, 2, 4], [1, 3]]
    assert share("aaabbc.cc", 2) == [[0, 1, 2, 5, 7, 8], [3, 4, 6]]
    assert share("aaabb", 2, whole=False) == [[0, 2, 4], [1, 3]]
    assert share("abab", 1) == [[0, 2, 1, 3]]


def test_a_volume_of_the_same_name_in_another_dataset() -> None:
    data: Any = Dataset([{"case": "a", "dataset": "d"}, {"case": "a", "dataset": "e"}, {"case": "a", "dataset": "d"}])
    assert [list(ScoringShare(data, True, 2, rank)) for rank in range(2)] == [[0, 2], [1]]
    assert len(ScoringShare(data, True, 2, 0)) == 2


def test_more_processes_than_records() -> None:
    """The others stand in with the first record; without records nobody has anything to do."""
    data: Any = Dataset([{"case": "a"}] * 3 + [{"case": "b"}])
    shares = [ScoringShare(data, True, 3, rank) for rank in range(3)]
    assert [one.indices for one in shares] == [[0, 1, 2], [3], [0]]
    assert [one.stands_in for one in shares] == [False, False, True]
    none = ScoringShare(Dataset([]), False, 2, 1)
    assert (len(none), none.stands_in) == (0, False)


def epochs(seed: int, batch: int, sampler: Any = None, count: int = 7, workers: int = 0) -> list[list[list[int]]]:
    """The batches of two epochs, as a trainer takes them."""
    order = {"shuffle": True} if sampler is None else {"sampler": sampler}
    loader = SeededLoader(Dataset(list(range(count))), num_workers=workers, batch_size=batch, **order)  # type: ignore[arg-type]
    seen: list[list[list[int]]] = []
    engine = Engine(lambda _, found: seen[-1].append(torch.as_tensor(found).tolist()))
    engine.add_event_handler(Events.EPOCH_STARTED, lambda _: seen.append([]))
    EpochSeed(seed).attach(engine)
    engine.run(loader, max_epochs=2)
    return seen


@pytest.mark.parametrize(("count", "processes", "batch"), [(8, 2, 2), (7, 2, 2), (5, 2, 2), (7, 3, 1), (2, 3, 2)])
def test_processes_together_take_the_batches_of_one(count: int, processes: int, batch: int) -> None:
    one = epochs(41, batch * processes, count=count)
    shares = [TrainingShare(range(count), 0, processes, rank) for rank in range(processes)]
    each = [epochs(41, batch, own, count) for own in shares]
    for epoch, batches in enumerate(one):
        assert {len(found[epoch]) for found in each} == {len(batches)}  # none waits for another in vain
        for step, together in enumerate(batches):
            parts = [
                record
                for rank, found in enumerate(each)
                for place, record in enumerate(found[epoch][step], step * batch)
                if place * processes + rank < count  # what follows are repeated ones
            ]
            assert sorted(parts) == sorted(together)


def test_the_seed_decides_the_order(count: int = 7) -> None:
    orders = {seed: epochs(seed, 2, TrainingShare(range(count), 0, 2, 0)) for seed in (1, 2)}
    assert orders[1] != orders[2]
    assert orders[1][0] != orders[1][1]
    assert orders[1] == epochs(1, 2, TrainingShare(range(count), 5, 2, 0), workers=1)


def test_repeated_records_are_told() -> None:
    last = TrainingShare(range(5), 0, 2, 1)
    for _ in range(2):
        assert len(list(last)) == 3
        assert [last.take(2), last.take(2)] == [2, 0]
    assert [TrainingShare(range(1), 0, 2, rank).num_samples for rank in range(2)] == [1, 1]
