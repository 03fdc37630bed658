# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Questions to images beside an evaluation: what they have, what they have besides, and what they lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch.distributed as dist
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, Transform

from monai_vlsm.caches import Caching, cached_dataset
from monai_vlsm.data import ScoringShare, questions

__all__ = ["probe_evaluator"]


def probe_evaluator(
    evaluator: SupervisedEvaluator,
    records: Sequence[Mapping[str, Any]],
    preprocessing: Compose,
    postprocessing: Transform,
    handlers: Sequence[Any],
    caching: Caching | None = None,
) -> SupervisedEvaluator:
    """An evaluator that asks one image at a time all its questions, and runs the network as another one does.

    Several processes share the images.

    Args:
        evaluator: its network, inferer, device and precision are used.
        records: from `monai_vlsm.data.probe_records`.
        preprocessing: the transforms of the other evaluator.
        postprocessing: of the other evaluator.
        handlers: such as `monai_vlsm.handlers.ProbeWriter` and `monai_vlsm.handlers.ThresholdSetter`.
        caching: what is kept of the images; images are not, since each is read once.
    """
    workers = caching.num_workers if caching else 0
    dataset = cached_dataset(questions(records), preprocessing, caching, batch_size=1, images=False)
    parts = ScoringShare(dataset) if dist.is_initialized() else None
    return SupervisedEvaluator(
        device=evaluator.state.device,
        val_data_loader=DataLoader(dataset, batch_size=1, sampler=parts, num_workers=workers),
        network=evaluator.network,
        inferer=evaluator.inferer,
        prepare_batch=evaluator.prepare_batch,
        postprocessing=postprocessing,
        val_handlers=list(handlers),
        amp=evaluator.amp,
        amp_kwargs=evaluator.amp_kwargs,
    )
