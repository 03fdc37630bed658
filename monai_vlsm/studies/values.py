# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What may stand for a value in a study file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from monai_vlsm.studies.keys import StudyError, shown, take
from monai_vlsm.studies.study import RANDOM

__all__ = ["is_lease", "is_number", "is_seed", "is_share", "is_style", "is_text", "number", "settings", "text"]

_POWER = re.compile(r"[+-]?\d+e[+-]?\d+", re.IGNORECASE)
# what a study decides for each run, so that no system and no dataset can set it
_OURS = ("seed", "fraction", "resume", "output_dir", "ckpt_dir", "dataset_dir", "dataset", "styles", "model_file")


def settings(place: str, value: Any) -> dict[str, Any]:
    """Settings of a bundle by name; None is none.

    Raises:
        StudyError: no table, a setting that the study decides, or a value that no file of a run can hold.
    """
    if not isinstance(value, Mapping | None) or not all(map(is_text, value or {})):
        raise StudyError(f"{place}: expected a table of settings of the bundle, got {shown(value)}")
    found = {name: number(one) for name, one in (value or {}).items()}
    for name, one in found.items():
        if name.partition("#")[0] in _OURS:
            raise StudyError(f"{place}: {name} is what the study decides for each run; leave it out")
        take(f"{place}, {name}", one, "texts, finite numbers, true, false, lists or tables of them", _is_plain)
    if "epochs" in found:
        take(f"{place}, epochs", found["epochs"], "a whole number from 1", _is_budget)
    return found


def _is_plain(value: Any) -> bool:
    """Whether JSON holds it as it is: no NaN, no date, nothing that holds itself."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


def _is_budget(value: Any) -> bool:
    """Whether a bundle can train so long; a range of a search, or an expression of MONAI, is looked at elsewhere."""
    return isinstance(value, Mapping | list) or (is_text(value) and value[0] in "$@") or (is_seed(value) and value > 0)


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
    return is_number(value) and 0 < value <= 1


def is_style(value: Any) -> bool:
    """Whether something is a style of prompts, or stands for one that is drawn."""
    return isinstance(value, str) and (value == RANDOM or re.fullmatch("p[0-9]", value) is not None)


def is_lease(value: Any) -> bool:
    """Whether a worker can give signs of life in so many seconds."""
    return is_number(value) and 0.1 <= value <= 1e6


def is_number(value: Any) -> bool:
    """Whether something is a finite number, of a size that counts."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e300
