# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What can go wrong when a backbone is looked for."""

from __future__ import annotations

from monai_vlsm.errors import UserError

__all__ = ["BackboneNotFoundError"]


class BackboneNotFoundError(UserError, FileNotFoundError):
    """A backbone is not known, or known and not to be had."""
