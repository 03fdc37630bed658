# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which encoders an adaptation is for, and the paper's three placements, V, VL and VLC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from monai_vlsm.adapters.adaptation import AdaptationError

__all__ = [
    "CITATION",
    "LARGEST",
    "InEncoders",
    "check_at_most",
    "check_encoders",
    "check_placement",
    "check_positive",
    "encoder_names",
]

CITATION = (
    "Dhakal, Adhikari, Thapaliya, Khanal: VLSM-Adapter: Finetuning Vision-Language Segmentation Efficiently with "
    "Lightweight Blocks. MICCAI 2024."
)
"""The paper of the dense and the shallow adapters."""

LARGEST = 8192
"""Of any size in the settings of an adaptation; no encoder here is as wide."""

_ENCODERS = ("v", "vl")


def check_encoders(encoders: str) -> None:
    """Check the argument of an adaptation.

    Raises:
        AdaptationError: when ``encoders`` is neither ``"v"`` nor ``"vl"``.
    """
    if encoders not in _ENCODERS:
        raise AdaptationError(f"encoders must be one of {', '.join(map(repr, _ENCODERS))}, got {encoders!r}")


def check_placement(encoders: str, width: int, condition_width: int | None) -> None:
    """Check the arguments of an adaptation.

    Raises:
        AdaptationError: when ``encoders`` is neither ``"v"`` nor ``"vl"``, or a width is no positive whole number.
    """
    check_encoders(encoders)
    check_positive("width", width)
    if condition_width is not None:
        check_positive("condition_width", condition_width)


def check_positive(name: str, value: Any) -> None:
    """Check a size among the settings of an adaptation.

    Raises:
        AdaptationError: when it is no whole number, below 1 or above `LARGEST`.
    """
    if type(value) is not int or value < 1:
        raise AdaptationError(f"{name} must be a positive whole number, got {value!r}")
    check_at_most(name, value)


def check_at_most(name: str, value: float) -> None:
    """Check that a number among the settings of an adaptation is none that memory or floating point cannot hold.

    Raises:
        AdaptationError: when it is above `LARGEST`.
    """
    if value > LARGEST:
        raise AdaptationError(f"{name} must be at most {LARGEST}, got {value if value < 1e15 else 'more'}")


def encoder_names(encoders: str) -> tuple[str, ...]:
    """The encoders that ``"v"`` and ``"vl"`` stand for."""
    return ("vision", "text")[: len(encoders)]


@dataclass(frozen=True)
class InEncoders:
    """What adaptations share that sit in the layers of the encoders; a base beside `Adaptation`, and in front of it.

    Args:
        encoders: ``"v"`` for the vision encoder, ``"vl"`` for the vision and the text encoder.

    Raises:
        AdaptationError: when ``encoders`` is unknown.
    """

    encoders: str = "vl"

    def __post_init__(self) -> None:
        check_encoders(self.encoders)

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """The text encoder with ``encoders="v"``, else none."""
        return frozenset({"vision", "text"}).difference(encoder_names(self.encoders))
