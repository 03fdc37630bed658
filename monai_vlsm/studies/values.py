# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What may stand for a value in a study file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from monai_vlsm.studies.keys import StudyError, take

__all__ = ["is_number", "is_positive", "is_seed", "is_share", "is_text", "number", "settings", "text"]

_POWER = re.compile(r"[+-]?\d+e[+-]?\d+", re.IGNORECASE)
# what a study decides for each run, so that no system and no dataset can set it
_OURS = ("seed", "fraction", "resume", "output_dir", "ckpt_dir", "dataset_dir", "dataset", "styles", "model_file")


def settings(place: str, value: Any) -> dict[str, Any]:
    """Settings of a bundle by name; None is none.

    Raises:
        StudyError: no table, or a setting that the study decides.
    """
    if not isinstance(value, Mapping | None) or not all(map(is_text, value or {})):
        raise StudyError(f"{place}: expected a table of settings of the bundle, got {value!r}")
    for name in value or {}:
        if name in _OURS:
            raise StudyError(f"{place}: {name} is what the study decides for each run; leave it out")
    return {name: number(one) for name, one in (value or {}).items()}


def number(value: Any) -> Any:
    """YAML takes 1e-3 for a text, since it has no dot."""
    return float(value) if isinstance(value, str) and _POWER.fullmatch(value) else value


def text(place: str, value: Any) -> str:
    """A text.

    Raises:
        StudyError: anything else.
    """
    return str(take(place, value, "a text", is_text))


def is_text(value: Any) -> bool:
    """Whether something is a text that can be seen."""
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def is_seed(value: Any) -> bool:
    """Whether something is a whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def is_share(value: Any) -> bool:
    """Whether something is a part of a whole."""
    return is_positive(value) and value <= 1


def is_positive(value: Any) -> bool:
    """Whether something is a number above 0."""
    return is_number(value) and value > 0


def is_number(value: Any) -> bool:
    """Whether something is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
