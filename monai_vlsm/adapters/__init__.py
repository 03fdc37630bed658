# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What of a network trains: adapters, where they sit, and files that hold only what was trained."""

from monai_vlsm.adapters.adaptation import Adaptation, Seams, Sites, Tower
from monai_vlsm.adapters.attach import attach_adapter
from monai_vlsm.adapters.block import BottleneckAdapter
from monai_vlsm.adapters.content import SETTINGS_KEY, ModelMismatchError, checked_content, seal
from monai_vlsm.adapters.dense import DenseAdaptation
from monai_vlsm.adapters.files import ModelNotFoundError, read_model, read_settings, trained_settings
from monai_vlsm.adapters.finetuning import FineTuning
from monai_vlsm.adapters.kinds import build_adaptation
from monai_vlsm.adapters.parameters import (
    NothingTrainsError,
    base_fingerprint,
    count_parameters,
    find_trained,
    trainable_parameters,
)
from monai_vlsm.adapters.shallow import ShallowAdaptation
from monai_vlsm.adapters.state import TrainedState, load_trained

__all__ = [
    "SETTINGS_KEY",
    "Adaptation",
    "BottleneckAdapter",
    "DenseAdaptation",
    "FineTuning",
    "ModelMismatchError",
    "ModelNotFoundError",
    "NothingTrainsError",
    "Seams",
    "ShallowAdaptation",
    "Sites",
    "Tower",
    "TrainedState",
    "attach_adapter",
    "base_fingerprint",
    "build_adaptation",
    "checked_content",
    "count_parameters",
    "find_trained",
    "load_trained",
    "read_model",
    "read_settings",
    "seal",
    "trainable_parameters",
    "trained_settings",
]
