# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Adapters on the Hugging Face Hub: push them with a model card, pull and check them."""

from __future__ import annotations

from monai_vlsm.hub.faults import HubError
from monai_vlsm.hub.files import read_adapters
from monai_vlsm.hub.pulling import FileExistsHereError, pull
from monai_vlsm.hub.pushing import push, write_upload

__all__ = ["FileExistsHereError", "HubError", "pull", "push", "read_adapters", "write_upload"]
