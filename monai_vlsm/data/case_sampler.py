# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Records for several processes, with the slices of a volume on one of them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import torch.distributed as dist
from torch.utils.data import Sampler

from monai_vlsm.counts import counted
from monai_vlsm.errors import UserError

__all__ = ["TooFewCasesError", "WholeCaseSampler"]


class TooFewCasesError(UserError, ValueError):
    """More processes than there are images or volumes."""


class WholeCaseSampler(Sampler[int]):
    """Shares records among processes as ``DistributedSampler`` does, but volumes as a whole.

    A record of an image is a share of its own, and so are all records of a volume; process r of W gets every W-th
    share from r on, in the order of the records. None is given twice.

    Args:
        dataset: with ``data``, records as from `monai_vlsm.data.load_datalist`.
        num_replicas: number of processes; None asks torch.
        rank: number of this one; None asks torch.

    Raises:
        TooFewCasesError: fewer shares than processes.
    """

    def __init__(self, dataset: Any, num_replicas: int | None = None, rank: int | None = None) -> None:
        processes = dist.get_world_size() if num_replicas is None else num_replicas
        shares = _shares(dataset.data)
        if len(shares) < processes:
            raise TooFewCasesError(
                f"{counted(processes, 'process')} for {counted(len(shares), 'image or volume', 'images and volumes')}: "
                "start as many at most"
            )
        own = shares[dist.get_rank() if rank is None else rank :: processes]
        self.indices = [index for share in own for index in share]

    def __len__(self) -> int:
        """How many records this process has."""
        return len(self.indices)

    def __iter__(self) -> Iterator[int]:
        """Indices of its records."""
        return iter(self.indices)


def _shares(records: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    shares: dict[Hashable, list[int]] = {}
    for index, record in enumerate(records):
        case = record.get("case")
        shares.setdefault((record.get("dataset"), case) if case else index, []).append(index)
    return list(shares.values())
