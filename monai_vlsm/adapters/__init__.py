# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What of a network trains: adapters, and where they sit. No files are read or written here."""

from monai_vlsm.adapters.adaptation import Adaptation, AdaptationError, MergeError
from monai_vlsm.adapters.adaptformer import AdaptFormerAdaptation
from monai_vlsm.adapters.attach import attach_adapter, attach_beside
from monai_vlsm.adapters.bitfit import BitFitAdaptation
from monai_vlsm.adapters.block import BottleneckAdapter
from monai_vlsm.adapters.combination import Combination
from monai_vlsm.adapters.cross_attention import GatedCrossAttention, Noise
from monai_vlsm.adapters.cross_modal import CrossModalAdaptation, CrossModalBlock
from monai_vlsm.adapters.dense import DenseAdaptation
from monai_vlsm.adapters.finetuning import FineTuning
from monai_vlsm.adapters.installation import Installation
from monai_vlsm.adapters.kinds import (
    AdaptationNotImportedError,
    ModuleImportError,
    adaptation_kinds,
    build_adaptation,
    import_modules,
    inner_settings,
    resumed_adaptation,
    trained_adaptation,
)
from monai_vlsm.adapters.lora import LoRAAdaptation, LowRankUpdate
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
from monai_vlsm.adapters.ssf import ScaleShift, SSFAdaptation
from monai_vlsm.adapters.targets import AdapterTargets, EncoderTargets, FeatureAdapters, LayerTargets
from monai_vlsm.adapters.telescopic import BoundaryEnhancer, TelescopicAdaptation, TelescopicBlock
from monai_vlsm.adapters.visual_prompts import PromptTokens, VisualPromptAdaptation

__all__ = [
    "AdaptFormerAdaptation",
    "Adaptation",
    "AdaptationError",
    "AdaptationNotImportedError",
    "AdapterTargets",
    "BitFitAdaptation",
    "BottleneckAdapter",
    "BoundaryEnhancer",
    "Combination",
    "ContextError",
    "CrossModalAdaptation",
    "CrossModalBlock",
    "DenseAdaptation",
    "EncoderTargets",
    "FeatureAdapters",
    "FineTuning",
    "GatedCrossAttention",
    "Installation",
    "LayerTargets",
    "LoRAAdaptation",
    "LowRankUpdate",
    "MergeError",
    "ModuleImportError",
    "Noise",
    "NothingTrainsError",
    "PromptTokens",
    "SSFAdaptation",
    "ScaleShift",
    "ShallowAdaptation",
    "SliceAttention",
    "SliceContextAdaptation",
    "TelescopicAdaptation",
    "TelescopicBlock",
    "VisualPromptAdaptation",
    "adaptation_kinds",
    "attach_adapter",
    "attach_beside",
    "base_fingerprint",
    "build_adaptation",
    "count_parameters",
    "find_trained",
    "import_modules",
    "inner_settings",
    "resumed_adaptation",
    "single_settings",
    "slice_count",
    "tensors_digest",
    "trainable_parameters",
    "trained_adaptation",
    "with_slices",
]
