# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Run ``train.json`` of dense adapters until its first step would start, and end: what ``cases_start.py`` times."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

BUNDLE = Path(__file__).parents[1] / "bundles" / "vlsm_dense"


def leave(_engine: Engine) -> None:
    """End this process at once; nothing is to be finished."""
    os._exit(0)


def main() -> None:
    """Arguments: folder of the dataset, folder of the backbone, folder for what is written, device."""
    data, backbone, output, device = sys.argv[1:]
    workflow = ConfigWorkflow(
        str(BUNDLE / "configs" / "train.json"),
        workflow_type="train",
        bundle_root=str(BUNDLE),
        logging_file=False,
        dataset_dir=data,
        backbone=backbone,
        device=torch.device(device),
        num_workers=0,
        output_dir=output,
        ckpt_dir=output,
    )
    workflow.initialize()
    workflow.parser.get_parsed_content("train#trainer").add_event_handler(Events.ITERATION_STARTED, leave)
    workflow.run()
    raise SystemExit("the training ended without a step")


if __name__ == "__main__":
    main()
