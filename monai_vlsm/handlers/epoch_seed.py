# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Seeds every epoch anew, so that a resumed run sees what an uninterrupted one sees."""

from __future__ import annotations

import random
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from torch.utils.data import DistributedSampler

from monai_vlsm.data.shares import epoch_seed

__all__ = ["EpochSeed"]


class EpochSeed:
    """Makes the randomness of an epoch a function of ``(seed, epoch)``.

    At EPOCH_STARTED it seeds torch, numpy and Python and the random transforms of the trainer's data set. Ignite makes
    the loader's iterator (order of the images, seeds of the workers) after that event, in the first epoch as in later
    ones, so that all of it follows. Of several processes each has random numbers of its own, and a sampler that deals
    out the images (torch's ``DistributedSampler``, `monai_vlsm.data.TrainingShare`) gets seed and epoch. Attach to the
    trainer, anywhere.

    Args:
        seed: seed of the run, at least 0.

    Raises:
        ValueError: for a negative seed; and when training starts with persistent workers that cannot be seeded from
            outside; those of `monai_vlsm.data.SeededLoader` can.
    """

    def __init__(self, seed: int) -> None:
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        self.seed = seed

    def attach(self, engine: Engine) -> None:
        """Seed the epochs of ``engine``, the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed the epoch that begins."""
        loader: Any = engine.state.dataloader
        seed = epoch_seed(self.seed, engine.state.epoch, idist.get_rank())
        if hasattr(loader, "seed_epoch"):  # monai_vlsm.data.SeededLoader
            loader.seed_epoch(seed)
        elif getattr(loader, "persistent_workers", False):
            raise ValueError(
                "EpochSeed cannot seed persistent workers: use monai_vlsm.data.SeededLoader, or set "
                "persistent_workers=False in the DataLoader"
            )
        sampler = getattr(loader, "sampler", None)
        if isinstance(sampler, DistributedSampler):
            sampler.seed = self.seed
            sampler.set_epoch(engine.state.epoch)
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        set_rnd(getattr(loader, "dataset", None), seed)
