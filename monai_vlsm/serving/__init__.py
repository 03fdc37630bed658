# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Trained models in use: many on one base, and predictions for people."""

from monai_vlsm.serving.bank import AdapterBank, AdapterNameError
from monai_vlsm.serving.batches import PredictionLoader
from monai_vlsm.serving.files import ModelFacts, check_model, find_models, model_facts
from monai_vlsm.serving.folder import distinct_names, predict_records
from monai_vlsm.serving.pictures import draw_segmentation, save_picture
from monai_vlsm.serving.predict import DeviceNotFoundError, Segmenter
from monai_vlsm.serving.records import UnfinishedError, Worklist, find_records
from monai_vlsm.serving.segmentation import Segmentation

__all__ = [
    "AdapterBank",
    "AdapterNameError",
    "DeviceNotFoundError",
    "ModelFacts",
    "PredictionLoader",
    "Segmentation",
    "Segmenter",
    "UnfinishedError",
    "Worklist",
    "check_model",
    "distinct_names",
    "draw_segmentation",
    "find_models",
    "find_records",
    "model_facts",
    "predict_records",
    "save_picture",
]
