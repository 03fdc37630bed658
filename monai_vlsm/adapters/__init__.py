# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What of a network trains: adapters, and where they sit. No files are read or written here."""

from monai_vlsm.adapters.adaptation import Adaptation, AdapterTargets, EncoderTargets, FeatureAdapters
from monai_vlsm.adapters.attach import attach_adapter
from monai_vlsm.adapters.block import BottleneckAdapter
from monai_vlsm.adapters.dense import DenseAdaptation
from monai_vlsm.adapters.finetuning import FineTuning
from monai_vlsm.adapters.installation import AdaptationError, Installation
from monai_vlsm.adapters.kinds import (
    AdaptationNotImportedError,
    ModuleImportError,
    build_adaptation,
    import_modules,
    trained_adaptation,
)
from monai_vlsm.adapters.parameters import (
    NothingTrainsError,
    base_fingerprint,
    count_parameters,
    find_trained,
    tensors_digest,
    trainable_parameters,
)
from monai_vlsm.adapters.shallow import ShallowAdaptation
from monai_vlsm.adapters.slice_context import (
    ContextError,
    SliceAttention,
    SliceContextAdaptation,
    single_settings,
    slice_count,
    with_slices,
)

__all__ = [
    "Adaptation",
    "AdaptationError",
    "AdaptationNotImportedError",
    "AdapterTargets",
    "BottleneckAdapter",
    "ContextError",
    "DenseAdaptation",
    "EncoderTargets",
    "FeatureAdapters",
    "FineTuning",
    "Installation",
    "ModuleImportError",
    "NothingTrainsError",
    "ShallowAdaptation",
    "SliceAttention",
    "SliceContextAdaptation",
    "attach_adapter",
    "base_fingerprint",
    "build_adaptation",
    "count_parameters",
    "find_trained",
    "import_modules",
    "single_settings",
    "slice_count",
    "tensors_digest",
    "trainable_parameters",
    "trained_adaptation",
    "with_slices",
]
