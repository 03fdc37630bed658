# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""MONAI Label looks in this file for a class that is derived from its ``MONAILabelApp``."""

from monai_vlsm.apps.label.app import VLSMLabelApp

__all__ = ["VLSMLabelApp"]
