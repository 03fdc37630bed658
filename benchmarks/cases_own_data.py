# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Cases on photographs of one's own, 1000 x 1000 JPEG: what ``vlsm_dense`` does with them after the first epoch.

The plain side is what the bundle did before it kept images by itself and validated several at a time: all is decoded
and resized in each epoch, a validation batch is one image, which is collated and taken apart again, and Dice, IoU and
the outlines of HD95 are MONAI's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from bundle import caches_in_scratch, image_folder, read_config
from cases import SPEED, Case
from conditions import Conditions
from measure import Side
from monai.bundle import ConfigParser
from monai.metrics.utils import get_mask_edges
from torch import Tensor, nn

from monai_vlsm import metrics
from monai_vlsm.backbones import MINI
from monai_vlsm.engines import PromptBatch
from monai_vlsm.metrics import Hausdorff95Metric

IMAGES = 24  # to train, and to validate


class Bright(nn.Module):
    """Predicts what is bright, in no time: what is left is the work of the CPU."""

    image_mean, image_std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def forward(self, image: Tensor, **_: Any) -> Tensor:
        return image.mean(dim=1, keepdim=True) - 0.4


class PlainHausdorff95(Hausdorff95Metric):
    """HD95 with MONAI's outlines, one mask after the other."""

    def _compute_list(self, y_pred: Any, y: Any = None, **kwargs: Any) -> Tensor:
        pairs = zip(y_pred, y, strict=True)
        return torch.cat([self._compute_tensor(found[None], truth[None]) for found, truth in pairs])

    def _distance(self, pred: np.ndarray, truth: np.ndarray) -> float:
        before = metrics._edge
        metrics._edge = lambda mask: np.asarray(get_mask_edges(mask, mask, crop=False)[0])
        try:
            return super()._distance(pred, truth)
        finally:
            metrics._edge = before


def config(conditions: Conditions, **settings: Any) -> ConfigParser:
    """``train.json`` of ``vlsm_dense`` on the photographs, everything in one process."""
    caches_in_scratch()
    side = 100 if conditions.quick else 1000
    return read_config(
        "vlsm_dense",
        dataset_dir=str(image_folder(IMAGES, IMAGES, side, side)),
        backbone=MINI,
        image_size=64 if conditions.quick else 352,
        batch_size=conditions.batch,
        num_workers=0,
        device=torch.device("cpu"),
        amp=False,
        **settings,
    )


def reading(conditions: Conditions, **settings: Any) -> Side:
    """An epoch of training batches, without a step."""
    loader, prepare = config(conditions, **settings).get_parsed_content("train#dataloader"), PromptBatch(meta=False)

    def run() -> None:
        for batch in loader:
            prepare(batch, torch.device("cpu"))

    return Side(run, items=IMAGES)


def validation(conditions: Conditions, before: bool) -> Side:
    """A validation with all metrics, without network and files."""
    parser = config(conditions, **({"cache": "off"} if before else {}))
    parser["network"] = Bright()
    part = parser["validate"]
    part["handlers"] = []
    if before:
        part["dataloader"] |= {"_target_": "monai_vlsm.data.SeededLoader", "batch_size": 1}
        part["evaluator"] |= {"iteration_update": None, "decollate": True, "prepare_batch": PromptBatch()}
        part["key_metric"]["val_dice"]["metric_fn"] = {"_target_": "monai.metrics.DiceMetric", "ignore_empty": False}
        others = part["additional_metrics"]
        others["val_iou"]["metric_fn"] = {"_target_": "monai.metrics.MeanIoU", "ignore_empty": False}
        others["val_hd95"]["metric_fn"] = PlainHausdorff95()
    parser.parse(reset=True)
    evaluator = parser.get_parsed_content("validate#evaluator")

    def facts() -> dict[str, Any]:
        return {name: round(value, 6) for name, value in evaluator.state.metrics.items()}

    return Side(evaluator.run, items=IMAGES, facts=facts)


CASES = (
    Case(
        "own_data",
        "data side, 1000 x 1000 JPEG, epoch after the first",
        8,
        SPEED,
        {"plain": lambda seen: reading(seen, cache="off"), "ours": reading},
        "data",
        60,
        {"batch": 8},
        counted=False,
    ),
    Case(
        "own_validation",
        "validation of 1000 x 1000 JPEG without the network, after the first",
        4,
        SPEED,
        {"plain": lambda seen: validation(seen, before=True), "ours": lambda seen: validation(seen, before=False)},
        "validation",
        60,
        {"batch": 8},
        counted=False,
    ),
)
