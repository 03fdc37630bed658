# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Trained networks as files for other programs: TorchScript, ONNX, a plain checkpoint."""

from monai_vlsm.export.forms import EmbeddingForm, TokensForm, text_tensors
from monai_vlsm.export.merge import save_merged
from monai_vlsm.export.model import ExportedModel, export_network
from monai_vlsm.export.problems import ExportError

__all__ = [
    "EmbeddingForm",
    "ExportError",
    "ExportedModel",
    "TokensForm",
    "export_network",
    "save_merged",
    "text_tensors",
]
