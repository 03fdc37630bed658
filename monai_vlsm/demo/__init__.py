# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A page on this machine to try trained models: drop an image, type prompts, look at the masks."""

from monai_vlsm.demo.answers import Answer, ask
from monai_vlsm.demo.files import FileRefusedError, check_file
from monai_vlsm.demo.models import Models
from monai_vlsm.demo.server import ServerOptionError, build_app, listen, serve

__all__ = [
    "Answer",
    "FileRefusedError",
    "Models",
    "ServerOptionError",
    "ask",
    "build_app",
    "check_file",
    "listen",
    "serve",
]
