# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which records each of several processes gets."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.utils.data import DistributedSampler, RandomSampler, Sampler

__all__ = ["ScoringShare", "TrainingShare", "epoch_seed"]


def epoch_seed(seed: int, epoch: int, rank: int = 0) -> int:
    """A 32-bit seed that is a function of the run's seed, the epoch and the process."""
    return int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0])


class TrainingShare(DistributedSampler[Any]):
    """Deals out the records of an epoch, so that several processes take the batches that one would take.

    The order is that of a loader with ``shuffle`` in a run of one process with the same seed
    (`monai_vlsm.handlers.EpochSeed`): a batch of B records in each of W processes has the records of one of B W. All
    processes take as many steps; one for which no record is left repeats one, and `monai_vlsm.losses.RankMeanLoss`
    does not count it.

    Args:
        dataset: with ``len``.
        seed: of the run; `monai_vlsm.handlers.EpochSeed` tells it too.
        num_replicas: number of processes; None asks torch.
        rank: number of this one; None asks torch.
    """

    def __init__(self, dataset: Any, seed: int = 0, num_replicas: int | None = None, rank: int | None = None) -> None:
        super().__init__(dataset, num_replicas, rank, shuffle=True, seed=seed)
        self._left = 0

    def __iter__(self) -> Iterator[Any]:
        """Indices of the records of this process in the epoch that ``set_epoch`` told."""
        order = _shuffled(self.dataset, epoch_seed(self.seed, self.epoch))
        own = order[self.rank :: self.num_replicas]
        self._left = len(own)
        yield from own
        yield from order[: self.num_samples - len(own)]

    def take(self, count: int) -> int:
        """How many of the next ``count`` records of this epoch are no repeated ones, which come last."""
        own = min(count, self._left)
        self._left -= own
        return own


def _shuffled(dataset: Any, seed: int) -> list[int]:
    """The order that a loader draws from torch's generator after this seed."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        torch.empty((), dtype=torch.int64).random_()  # a loader draws the seed of its workers first
        return list(RandomSampler(dataset))


class ScoringShare(Sampler[int]):
    """Deals out records that are scored: each process gets its part in the order of the records, none comes twice.

    Where there are fewer records than processes, the others go through the first record too, because all must take
    part in what processes do together; `monai_vlsm.handlers.rows.gather_rows` leaves out what they found.

    Args:
        dataset: with ``data``, records as from `monai_vlsm.data.load_datalist`.
        whole_cases: the slices of a volume go to one process.
        num_replicas: number of processes; None asks torch.
        rank: number of this one; None asks torch.
    """

    def __init__(
        self, dataset: Any, whole_cases: bool = False, num_replicas: int | None = None, rank: int | None = None
    ) -> None:
        processes = dist.get_world_size() if num_replicas is None else num_replicas
        shares = _shares(dataset.data, whole_cases)
        own = shares[dist.get_rank() if rank is None else rank :: processes]
        self.stands_in = bool(shares) and not own
        self.indices = [0] if self.stands_in else [index for share in own for index in share]

    def __len__(self) -> int:
        """How many records this process goes through."""
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        """Indices of these records."""
        return iter(self.indices)


def _shares(records: Sequence[Mapping[str, Any]], whole_cases: bool) -> list[list[int]]:
    shares: dict[Hashable, list[int]] = {}
    for index, record in enumerate(records):
        case = record.get("case") if whole_cases else None
        shares.setdefault((record.get("dataset"), case) if case else index, []).append(index)
    return list(shares.values())
