# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The paper's three placements, V, VL and VLC, which dense and shallow adapters share."""

from __future__ import annotations

__all__ = ["check_placement"]

_ENCODERS = ("v", "vl")


def check_placement(encoders: str, width: int, condition_width: int | None) -> None:
    """Check the arguments of an adaptation.

    Raises:
        ValueError: when ``encoders`` is neither ``"v"`` nor ``"vl"``, or a width is not positive.
    """
    if encoders not in _ENCODERS:
        raise ValueError(f"encoders must be one of {', '.join(map(repr, _ENCODERS))}, got {encoders!r}")
    for name, value in {"width": width, "condition_width": condition_width}.items():
        if value is not None and value < 1:
            raise ValueError(f"{name} must be positive, got {value}")
