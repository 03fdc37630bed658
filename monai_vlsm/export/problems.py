# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong when a network is written for another program."""

from __future__ import annotations

from monai_vlsm.errors import UserError

__all__ = ["ExportError"]


class ExportError(UserError, ValueError):
    """A network cannot be exported as asked, or the file does not compute what the network does."""
