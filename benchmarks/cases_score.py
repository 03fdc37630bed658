# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Case of validation: what HD95 at the original size of the masks costs."""

from __future__ import annotations

import time
from typing import Any

import torch
from bundle import backbone_folder, image_folder, read_config
from cases import SHARE, Case
from conditions import Conditions
from measure import Side
from torch import Tensor, nn

from monai_vlsm.metrics import Hausdorff95Metric

IMAGES = 20  # in each repetition; five of them are the hundred of the target


class TimedHausdorff95(Hausdorff95Metric):
    """The metric of the bundles, which adds up the seconds that it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def _compute_tensor(self, y_pred: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        start = time.perf_counter()
        scores = super()._compute_tensor(y_pred, y)
        self.seconds += time.perf_counter() - start
        return scores


class BrightParts(nn.Module):
    """Takes the time of a network, and predicts what is bright: an object with a smooth outline, as a trained one does.

    The outline that random weights would give is noise over the whole image.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, **tokens: Any) -> Tensor:
        return self.network(image, **tokens) * 0 + image.mean(dim=1, keepdim=True) - 0.4


def validation(conditions: Conditions) -> Side:
    """The evaluator of ``train.json`` with all its metrics, without the files that it writes."""
    width, height = (320, 240) if conditions.quick else (1280, 960)
    parser = read_config(
        "vlsm_dense",
        dataset_dir=str(image_folder(1, IMAGES, width, height)),
        backbone=str(backbone_folder(conditions)),
        num_workers=0,
        device=conditions.torch_device,
        amp=conditions.precision != "fp32",
    )
    parser["network"] = BrightParts(parser.get_parsed_content("network"))
    metric = TimedHausdorff95()
    parser["validate"]["additional_metrics"]["val_hd95"]["metric_fn"] = metric
    parser["validate"]["handlers"] = []
    parser.parse(reset=True)
    evaluator = parser.get_parsed_content("validate#evaluator")
    taken: dict[str, float] = {}

    def run() -> None:
        metric.seconds, start = 0.0, time.perf_counter()
        with torch.no_grad():
            evaluator.run()
        taken["share"] = metric.seconds / (time.perf_counter() - start)

    def facts() -> dict[str, Any]:
        return {
            "share": round(taken["share"], 4),
            "hd95_pixels": round(evaluator.state.metrics["val_hd95"], 3),
            "dice": round(evaluator.state.metrics["val_dice"], 3),
        }

    return Side(run, items=IMAGES, facts=facts)


CASES = (
    Case(
        "hd95",
        "validation on 1280 x 960, share of HD95",
        0.15,
        SHARE,
        {"ours": validation},
        "validation",
        90,
        {"batch": 1},
        counted=False,
    ),
)
