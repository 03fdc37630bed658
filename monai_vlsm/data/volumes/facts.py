# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a volume is, found out once for each file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from monai_vlsm.data.problems import DatasetProblems, Problem
from monai_vlsm.data.volumes.formats import changed
from monai_vlsm.data.volumes.stacks import open_stack
from monai_vlsm.data.volumes.values import usual_range, value_range

__all__ = ["VolumeFacts", "volume_facts"]


@dataclass(frozen=True)
class VolumeFacts:
    """What one volume is.

    Args:
        shape: size with the axes of the file.
        affine: ``(4, 4)``, from the axes of the file to mm to the patient's right, front and top.
        oriented: whether the file says how the patient lies.
        dtype: NumPy's name of the type of the values.
        channels: how many volumes the file has, more than 1 for 4D.
        low: lowest value, without NaN, infinity and the padding of CT.
        high: highest value.
        percentiles: 0.5 and 99.5 of the values above 0 (`usual_range`).
        whole: whether all values are whole numbers from 0 on, as those of a label map.
        problem: why the volume cannot be used; then the other facts may be those of nothing.
    """

    shape: tuple[int, int, int] = (0, 0, 0)
    affine: np.ndarray | None = None
    oriented: bool = False
    dtype: str = ""
    channels: int = 0
    low: float = float("nan")
    high: float = float("nan")
    percentiles: tuple[float, float] = (float("nan"), float("nan"))
    whole: bool = False
    problem: Problem | None = None


def volume_facts(file: str | PathLike[str], channel: int | None = None) -> VolumeFacts:
    """What a volume is.

    Args:
        file: of the volume.
        channel: which volume of a 4D file; needed where there are several, else ``problem`` says so.
    """
    path = Path(file)
    try:
        return _facts(fspath(file), changed(path), channel)
    except OSError as error:
        return VolumeFacts(problem=Problem(str(path), "a readable volume", error.strerror or str(error)))


@lru_cache(maxsize=1024)
def _facts(file: str, changed: int, channel: int | None) -> VolumeFacts:
    try:
        stack = open_stack(file, "axial", channel)
    except DatasetProblems as error:
        return VolumeFacts(problem=error.problems[0])
    except Exception as error:
        return VolumeFacts(problem=Problem(file, "a readable volume", str(error)))
    values = np.asarray(stack.slices)
    if not np.isfinite(values).any():
        return VolumeFacts(problem=Problem(file, "values", "none: all are NaN (not a number) or infinite"))
    low, high = value_range(values)
    whole = low >= 0 and bool(np.isfinite(values).all() and (values == np.round(values)).all())
    return VolumeFacts(
        stack.file_shape,
        stack.file_affine,
        stack.oriented,
        str(values.dtype),
        1,
        low,
        high,
        usual_range(values, low),
        whole,
    )
