# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a card can do at best, from its maker's data sheets: dense products, without sparsity."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PEAKS", "Peak", "peak_of"]


class Peak(NamedTuple):
    """10^12 floating point operations a second.

    Args:
        half: float16 or bfloat16, summed in float32.
        tf32: float32 with 10 bits of each factor; that of float32 where a card has none.
        float32: without tensor cores.
        source: the document.
    """

    half: float
    tf32: float
    float32: float
    source: str


PEAKS: dict[str, Peak] = {  # the first whose words are all in the name of the card
    "H200": Peak(989.4, 494.7, 66.9, "NVIDIA H200 data sheet, half of the values with sparsity"),
    "H100 NVL": Peak(835.0, 417.5, 60.0, "NVIDIA H100 data sheet, half of the values with sparsity"),
    "H100 PCIe": Peak(756.0, 378.0, 51.0, "NVIDIA H100 data sheet, half of the values with sparsity"),
    "H100": Peak(989.4, 494.7, 66.9, "NVIDIA H100 data sheet (SXM), half of the values with sparsity"),
    "A100": Peak(312.0, 156.0, 19.5, "NVIDIA A100 data sheet"),
    "L40S": Peak(362.05, 183.0, 91.6, "NVIDIA L40S data sheet"),
    "A10": Peak(125.0, 62.5, 31.2, "NVIDIA A10 data sheet"),
    "L4": Peak(121.0, 60.0, 30.3, "NVIDIA L4 data sheet, half of the values with sparsity"),
    "RTX 4090": Peak(165.2, 82.6, 82.6, "NVIDIA Ada GPU architecture, appendix A"),
    "RTX 3090": Peak(71.0, 35.6, 35.6, "NVIDIA Ampere GA102 GPU architecture, appendix A"),
    "V100": Peak(125.0, 15.7, 15.7, "NVIDIA V100 data sheet (SXM2)"),
    "T4": Peak(65.0, 8.1, 8.1, "NVIDIA T4 data sheet"),
}


def peak_of(card: str) -> Peak | None:
    """The peak of a card by the name that the driver gives it; None where it is not in the table."""
    words = card.replace("-", " ").split()
    return next((peak for name, peak in PEAKS.items() if set(name.split()) <= set(words)), None)
