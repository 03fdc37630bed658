# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Trained models at work: predictions for people."""

from monai_vlsm.serving.folder import distinct_names, predict_records
from monai_vlsm.serving.pictures import draw_segmentation, save_picture
from monai_vlsm.serving.predict import DeviceNotFoundError, Segmenter
from monai_vlsm.serving.segmentation import Segmentation

__all__ = [
    "DeviceNotFoundError",
    "Segmentation",
    "Segmenter",
    "distinct_names",
    "draw_segmentation",
    "predict_records",
    "save_picture",
]
