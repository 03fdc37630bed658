# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a volume is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from monai.utils import MetaKeys

from monai_vlsm.data.problems import Problem
from monai_vlsm.data.volumes.numbers import nearly_whole
from monai_vlsm.data.volumes.values import usual_range, value_range

__all__ = ["MILLIMETRES", "VolumeFacts", "facts_of", "from_plain", "to_plain"]

MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Bits 0 to 2 of ``xyzt_units`` (nifti1.h) in mm; nearly every program leaves "unknown" there and means mm."""

_NONE = float("nan")


@dataclass(frozen=True)
class VolumeFacts:
    """What one volume is.

    Args:
        shape: size with the axes of the file.
        affine: ``(4, 4)``, from the axes of the file to places to the patient's right, front and top, in its unit.
        oriented: whether the file says how the patient lies.
        dtype: NumPy's name of the type of the values.
        channels: how many volumes the file has, more than 1 for 4D.
        low: lowest value, without NaN, infinity and the padding of CT.
        high: highest value.
        percentiles: 0.5 and 99.5 of the values above 0 (`usual_range`).
        whole: whether all values are whole numbers from 0 on, as those of a label map.
        given: what the file says should be black and white, its ``window`` or ``range``.
        second: whether qform and sform of the file disagree; the sform counts.
        unit: of the affine, as ``xyzt_units`` has it (`MILLIMETRES`).
        problem: why the volume cannot be used; then the other facts may be those of nothing.
    """

    shape: tuple[int, int, int] = (0, 0, 0)
    affine: np.ndarray = field(default_factory=lambda: np.eye(4), compare=False)
    oriented: bool = False
    dtype: str = ""
    channels: int = 0
    low: float = _NONE
    high: float = _NONE
    percentiles: tuple[float, float] = (_NONE, _NONE)
    whole: bool = False
    given: dict[str, tuple[float, float]] = field(default_factory=dict)
    second: bool = False
    unit: int = 0
    problem: Problem | None = None

    def shown(self) -> dict[str, np.ndarray]:
        """Metadata of its slices for `monai_vlsm.transforms.ToRGB`; values of 8 bits are shown as they are."""
        own = {} if self.dtype == "uint8" else {"range": (self.low, self.high), "percentiles": self.percentiles}
        return {key: np.array(ends) for key, ends in {**own, **self.given}.items()}


def facts_of(array: np.ndarray, meta: Mapping[str, Any]) -> VolumeFacts:
    """The facts of a volume in memory.

    Args:
        array: ``(X, Y, Z)``, in one piece in either order.
        meta: its metadata, as `monai_vlsm.data.volumes.read_volume` gives it.

    Raises:
        ValueError: no value is a number.
    """
    slabs = array.T if array.flags.f_contiguous else array  # the first axis is the slowest
    low, high = value_range(slabs)
    if low > high:
        raise ValueError("no value: all are NaN (not a number) or infinite")
    return VolumeFacts(
        (array.shape[0], array.shape[1], array.shape[2]),
        np.asarray(meta[MetaKeys.ORIGINAL_AFFINE], np.float64),
        bool(meta.get("oriented", True)),
        str(array.dtype),
        int(meta.get("channels", 1)),
        low,
        high,
        usual_range(slabs, low),
        bool(array.min() >= 0) and (array.dtype.kind != "f" or all(nearly_whole(slab).all() for slab in slabs)),
        {key: _pair(meta[key]) for key in ("window", "range") if key in meta},
        "qform" in meta,
        int(meta.get("xyzt_units", 0)) & 7,
    )


def _pair(ends: Any) -> tuple[float, float]:
    return float(ends[0]), float(ends[1])


def to_plain(facts: VolumeFacts) -> dict[str, Any]:
    """Facts as plain values for JSON."""
    return asdict(replace(facts, problem=None)) | {"affine": facts.affine.tolist()}


def from_plain(plain: Mapping[str, Any]) -> VolumeFacts:
    """The inverse of `to_plain`."""
    pairs: dict[str, Any] = {key: tuple(plain[key]) for key in ("shape", "percentiles")}
    pairs["given"] = {key: _pair(ends) for key, ends in plain["given"].items()}
    return VolumeFacts(**{**plain, **pairs, "affine": np.array(plain["affine"])})
