# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with what a network is asked for."""

from __future__ import annotations

from monai_vlsm.errors import UserError

__all__ = ["ImageSizeError", "NoAdaptersError", "NotFrozenError", "UnknownTargetError"]


class NoAdaptersError(UserError, ValueError):
    """Adapters were asked of a network that has no places for them."""


class NotFrozenError(UserError, ValueError):
    """Results of an encoder were to be kept, but the encoder trains or the network cannot run it alone."""


class ImageSizeError(UserError, ValueError):
    """A size of images that a network cannot take."""


class UnknownTargetError(UserError, ValueError):
    """A prompt names none of the targets of a U-Net."""
