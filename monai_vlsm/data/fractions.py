# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A part of the training data, to see how much data a system needs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["part_of"]

Record = Mapping[str, Any]


def part_of(records: Sequence[Record], fraction: float, seed: int) -> list[Record]:
    """The records of a share of the patients, or of the images where no patient is known.

    All records of a patient or image stay together. With one seed, the smaller part lies within the larger, and the
    same list gives the same part on every machine.

    Args:
        records: as from :func:`monai_vlsm.data.load_datalist`; they keep their order.
        fraction: share, above 0 and at most 1; at least one patient or image is kept.
        seed: another one draws another part.
    """
    units = [_unit(record) for record in records]
    if fraction >= 1 or not units:
        return list(records)
    drawn = sorted(set(units), key=lambda unit: (hashlib.sha256(f"{seed} {unit}".encode()).digest(), unit))
    kept = set(drawn[: max(1, math.floor(fraction * len(drawn) + 0.5))])
    return [record for record, unit in zip(records, units, strict=True) if unit in kept]


def _unit(record: Record) -> tuple[str, str]:
    """What a record belongs to: a patient, else an image."""
    patient = str(record.get("patient", "")).strip()
    return ("patient", patient) if patient else ("image", str(record.get("image_id", record.get("image"))))
