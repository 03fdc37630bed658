# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Case of prediction: masks of large photographs as files, the next ones decoded in their turn or meanwhile.

Both sides are ours, and so is what they write; only who decodes differs. The network is the embedded one, which keeps a
CPU busy for a moment, as one of real size does a GPU.
"""

from __future__ import annotations

import tempfile
from typing import Any

from bundle import image_folder
from cases import SPEED, Case
from conditions import PROMPTS, Conditions
from measure import Side

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.backbones import MINI
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.serving import Segmenter, find_records, predict_records

IMAGES = 8


def predicting(conditions: Conditions, workers: int) -> Side:
    """All of a folder, without overlays."""
    width, height = (400, 300) if conditions.quick else (4000, 3000)
    records = find_records(image_folder(IMAGES, 0, width, height) / "images", PROMPTS[0])
    network = CLIPSegNet(MINI, DenseAdaptation("vl"))
    half = {"fp16": "float16", "bf16": "bfloat16"}.get(conditions.precision)
    amp: dict[str, Any] = {"amp": half is not None, "amp_dtype": half}
    segment = Segmenter(network, device=conditions.torch_device, workers=workers, **amp)

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            predict_records(segment, records, folder, overlays="none")

    return Side(run, items=IMAGES)


CASES = (
    Case(
        "prediction",
        "prediction of 4000 x 3000 JPEG, the next decoded meanwhile",
        1.2,
        SPEED,
        {"plain": lambda seen: predicting(seen, 0), "ours": lambda seen: predicting(seen, 2)},
        "inference",
        60,
        {"batch": 1},
        counted=False,
    ),
)
