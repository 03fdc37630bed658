# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Trained models in use: many of them on one base."""

from monai_vlsm.serving.bank import AdapterBank, AdapterNameError

__all__ = ["AdapterBank", "AdapterNameError"]
