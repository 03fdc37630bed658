# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Trained models in use: many on one base, and predictions for people."""

from monai_vlsm.serving.bank import AdapterBank, AdapterNameError
from monai_vlsm.serving.batches import PredictionLoader
from monai_vlsm.serving.check import check_model
from monai_vlsm.serving.folder import distinct_names, predict_records
from monai_vlsm.serving.overlays import draw_segmentation, save_overlay
from monai_vlsm.serving.predict import DeviceNotFoundError, Segmenter
from monai_vlsm.serving.records import UnfinishedError, Worklist, find_records
from monai_vlsm.serving.segmentation import Segmentation

__all__ = [
    "AdapterBank",
    "AdapterNameError",
    "DeviceNotFoundError",
    "PredictionLoader",
    "Segmentation",
    "Segmenter",
    "UnfinishedError",
    "Worklist",
    "check_model",
    "distinct_names",
    "draw_segmentation",
    "find_records",
    "predict_records",
    "save_overlay",
]
