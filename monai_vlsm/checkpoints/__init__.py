# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The file of a trained model, ``model.pt``: read it, verify it, describe it, load it into its network."""

from monai_vlsm.checkpoints.content import SETTINGS_KEY, ModelMismatchError, seal, verify
from monai_vlsm.checkpoints.reading import ModelNotFoundError, read, read_settings, run_settings
from monai_vlsm.checkpoints.state import TrainedState, load_trained

__all__ = [
    "SETTINGS_KEY",
    "ModelMismatchError",
    "ModelNotFoundError",
    "TrainedState",
    "load_trained",
    "read",
    "read_settings",
    "run_settings",
    "seal",
    "verify",
]
