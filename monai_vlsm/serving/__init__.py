# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Trained models in use: many of them on one base, and what a model file says of itself."""

from monai_vlsm.serving.bank import AdapterBank, AdapterNameError
from monai_vlsm.serving.files import ModelFacts, check_model, find_models, model_facts

__all__ = ["AdapterBank", "AdapterNameError", "ModelFacts", "check_model", "find_models", "model_facts"]
