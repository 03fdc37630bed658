# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A data loader that starts its workers once for all epochs."""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import numpy as np
import torch
from monai.data import DataLoader
from monai.data.utils import set_rnd, worker_init_fn
from torch.utils.data import Dataset, get_worker_info

from monai_vlsm.data.ahead import made_ahead
from monai_vlsm.data.by_image import ImageSampler, collate_by_image, image_batches
from monai_vlsm.data.padding import collate_prompts
from monai_vlsm.errors import UserError, causes

__all__ = ["ItemLoader", "SeededLoader", "default_workers"]


def default_workers(most: int = 16) -> int:
    """Workers for a loader where nothing is said: one for each CPU of this process, and at most ``most``.

    Processes that torchrun started on one machine share its CPUs.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(most, usable // int(os.environ.get("LOCAL_WORLD_SIZE", 1))))


class SeededLoader(DataLoader):
    """MONAI's ``DataLoader`` whose workers live as long as it does, and are seeded for each epoch from outside.

    Images with different numbers of prompts are batched by `monai_vlsm.data.collate_prompts`.

    Starting a worker costs a start of Python and of torch where processes are spawned (macOS, Windows), in each epoch
    and again for each validation. Workers that live on keep their random state; with `seed_epoch`, which
    `monai_vlsm.handlers.EpochSeed` calls, what they draw is a function of the seed and of the number of the worker.

    Args:
        dataset: with ``len`` and items by number.
        num_workers: processes; 0 loads in this one.
        by_image: True lets the records of an image (``dataset.data``) come one after the other, so that it is encoded
            once for all of them: with ``shuffle`` the images in random order (`ImageSampler`), else a batch for each
            image (`image_batches`). A batch then also says which of its images are the same (`collate_by_image`).
        kwargs: of ``monai.data.DataLoader``.
    """

    def __init__(self, dataset: Any, num_workers: int = 0, by_image: bool = False, **kwargs: Any) -> None:
        if by_image:
            kwargs = {"collate_fn": collate_by_image, **_by_image(dataset.data, **kwargs)}
        self._seed = torch.zeros(1, dtype=torch.int64)
        if num_workers > 0:
            dataset = _SeededDataset(dataset, self._seed.share_memory_())
            kwargs = {"persistent_workers": True, "worker_init_fn": _start_worker, **kwargs}
        super().__init__(dataset, num_workers=num_workers, **{"collate_fn": collate_prompts, **kwargs})

    def __iter__(self) -> Any:
        """Begin an iteration; the order is the same whether the workers are new or not."""
        if self.persistent_workers and self._iterator is not None:
            torch.empty((), dtype=torch.int64).random_(
                generator=self.generator
            )  # a new iterator draws one number first
        return super().__iter__()

    def seed_epoch(self, seed: int) -> None:
        """Seed the workers before they draw anything for the iteration that begins next.

        Args:
            seed: at least 0, below ``2**32``.
        """
        self._seed[0] = seed + 1


class ItemLoader(SeededLoader):
    """Batches as lists of items that keep their own sizes, for `monai_vlsm.engines.evaluate_items`.

    Items are made ahead by threads, so that masks at their original size need not go from process to process.

    Args:
        dataset: with ``len`` and items by number, always the same for a number.
        num_workers: threads; with 0 items are made when they are asked for.
        kwargs: of `SeededLoader`, without those of processes.
    """

    def __init__(self, dataset: Any, num_workers: int = 0, **kwargs: Any) -> None:
        super().__init__(dataset, collate_fn=list, **kwargs)
        self.threads = num_workers

    def __iter__(self) -> Any:
        """One pass over the data."""
        batches = [list(batch) for batch in self.batch_sampler or ()]
        places = (place for batch in batches for place in batch)
        items = made_ahead(self.dataset.__getitem__, places, self.threads)
        for batch in batches:
            yield [next(items) for _ in batch]


class _SeededDataset(Dataset[Any]):
    """Items of a data set; in a worker, whatever is random is seeded anew as soon as the shared seed has changed."""

    def __init__(self, dataset: Any, seed: torch.Tensor) -> None:
        self.dataset, self._shared, self._seen = dataset, seed, 0

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        worker, seed = get_worker_info(), int(self._shared[0])
        if worker is not None and seed != self._seen:
            self._seen = seed
            own = int(np.random.SeedSequence((seed - 1, worker.id)).generate_state(1)[0])
            torch.manual_seed(own)
            np.random.seed(own)
            random.seed(own)
            set_rnd(self.dataset, own)
        try:
            return self.dataset[index]
        except Exception as error:
            found = _of_user(error)
            if found is None or found is error:
                raise
            raise found from None  # torch hands on an error without its causes


def _by_image(records: Any, shuffle: bool = False, batch_size: int = 1, **kwargs: Any) -> dict[str, Any]:
    """Arguments of a loader whose batches have the records of an image next to each other."""
    if shuffle:
        return {"sampler": ImageSampler(records), "batch_size": batch_size, **kwargs}
    return {"batch_sampler": image_batches(records), **kwargs}


def _of_user(error: BaseException | None) -> UserError | None:
    """The first error, on the way from one to its causes, that says all that a user must know."""
    return next((one for one in causes(error) if isinstance(one, UserError)), None)


def _start_worker(number: int) -> None:
    """As MONAI does; Ctrl-C in a terminal comes to all processes, and the main one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker_init_fn(number)
