# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The file of a trained model, ``model.pt``: read it, verify it, describe it, load it into its network."""

from monai_vlsm.checkpoints.content import (
    PRECISION,
    RECORDED,
    REMEMBERED,
    SETTINGS_KEY,
    ModelMismatchError,
    seal,
    tensors_of,
    verify,
    verify_settings,
)
from monai_vlsm.checkpoints.describe import ModelFacts, describe, find_models
from monai_vlsm.checkpoints.reading import (
    ModelNotFoundError,
    naming,
    read,
    read_settings,
    run_settings,
    training_dtype,
)
from monai_vlsm.checkpoints.state import TrainedState, load_trained

__all__ = [
    "PRECISION",
    "RECORDED",
    "REMEMBERED",
    "SETTINGS_KEY",
    "ModelFacts",
    "ModelMismatchError",
    "ModelNotFoundError",
    "TrainedState",
    "describe",
    "find_models",
    "load_trained",
    "naming",
    "read",
    "read_settings",
    "run_settings",
    "seal",
    "tensors_of",
    "training_dtype",
    "verify",
    "verify_settings",
]
