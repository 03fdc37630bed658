# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""An app for MONAI Label: what is here works without it, `app`, `infer`, `train` and `datastore` need monailabel."""

from monai_vlsm.apps.label.banks import Banks
from monai_vlsm.apps.label.install import install_app, start_command
from monai_vlsm.apps.label.labels import image_records, label_prompts, read_records
from monai_vlsm.apps.label.layout import AppFolderError, Model, Target, model_names, read_targets, served_models
from monai_vlsm.apps.label.polygons import polygons

__all__ = [
    "AppFolderError",
    "Banks",
    "Model",
    "Target",
    "image_records",
    "install_app",
    "label_prompts",
    "model_names",
    "polygons",
    "read_records",
    "read_targets",
    "served_models",
    "start_command",
]
