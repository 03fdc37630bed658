# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Questions to images beside an evaluation: what they have, what they have besides, and what they lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.distributed as dist
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, Transform

from monai_vlsm.caches import Caching, cached_dataset
from monai_vlsm.data import ItemLoader, ScoringShare, questions
from monai_vlsm.engines import evaluate_items

__all__ = ["probe_evaluator"]


def probe_evaluator(
    evaluator: SupervisedEvaluator,
    records: Sequence[Mapping[str, Any]],
    preprocessing: Compose,
    postprocessing: Transform,
    handlers: Sequence[Any],
    caching: Caching | None = None,
    batch_size: int = 1,
) -> SupervisedEvaluator:
    """An evaluator that asks each image all its questions, and runs the network as another one does.

    Images go through the network together, as many as have ``batch_size`` questions. Several processes share them.

    Args:
        evaluator: its network, inferer, device and precision are used.
        records: from `monai_vlsm.data.probe_records`.
        preprocessing: the transforms of the other evaluator.
        postprocessing: of the other evaluator.
        handlers: such as `monai_vlsm.handlers.ProbeWriter` and `monai_vlsm.handlers.ThresholdSetter`.
        caching: what is kept of the images; images are not, since each is read once.
        batch_size: of the other evaluator, whose features are found again.
    """
    workers = caching.num_workers if caching else 0
    dataset = cached_dataset(questions(records), preprocessing, caching, batch_size, images=False)
    parts = ScoringShare(dataset) if dist.is_initialized() else None
    images = max(1, batch_size // max((len(record["prompt"]) for record in records), default=1))
    return SupervisedEvaluator(
        device=evaluator.state.device,
        val_data_loader=ItemLoader(dataset, num_workers=workers, batch_size=images, sampler=parts),
        network=evaluator.network,
        inferer=evaluator.inferer,
        iteration_update=evaluate_items,
        decollate=False,
        postprocessing=postprocessing,
        val_handlers=list(handlers),
        amp=evaluator.amp,
        amp_kwargs=evaluator.amp_kwargs,
    )
