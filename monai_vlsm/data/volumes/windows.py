# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which values of an image become black and white: windows by name or number, and percentiles of a whole volume."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai_vlsm.errors import UserError

logger = logging.getLogger(__name__)

__all__ = [
    "PERCENTILES",
    "WINDOWS",
    "Window",
    "WindowError",
    "parse_window",
    "plain_window",
    "window_for",
]


class WindowError(UserError, ValueError):
    """A window that is none, or one that does not suit what it is to be used on."""


def _level(level: float, width: float) -> tuple[float, float]:
    return level - width / 2, level + width / 2


WINDOWS: dict[str, tuple[float, float]] = {
    # presets of CT viewers (level, width), as in vibhuagrawal14/ctviewer
    "bone": _level(480, 2500),
    "brain": _level(40, 80),
    "cta": _level(170, 600),
    "liver": _level(90, 150),
    "lung": _level(-600, 1500),
    "mediastinum": _level(50, 350),
    "soft_tissue": _level(40, 400),  # MedSAM's for CT too
    # BiomedParse, processing_utils.py (lowest, highest)
    "abdomen": (-150, 250),
    "colon": (-68, 187),
    "pancreas": (-100, 200),
    "pelvis": (-55, 200),
}
"""Windows of CT by name: the Hounsfield units that become black and white."""

PERCENTILES = ("mr", "percentiles")
"""Names of the window that each volume brings itself: percentiles of its voxels above 0, see `usual_range`."""

BY_MODALITY = {"CT": "soft_tissue", "MR": "mr"}
_MR_WORDS = ("mr", "t1", "t2", "flair", "adc", "dwi", "pd")  # how lists call the channels of MR


@dataclass(frozen=True)
class Window:
    """One window.

    Args:
        name: of `WINDOWS` or `PERCENTILES`; empty for one given in numbers.
        ends: the values that become black and white; None for percentiles, which only a volume knows.
    """

    name: str
    ends: tuple[float, float] | None

    def __str__(self) -> str:
        """What chose the values, in words."""
        if self.ends is None:
            return "percentiles of the volume"
        return f"window {self.name}" if self.name else "window of the user"


def parse_window(window: Any) -> tuple[Window, ...]:
    """The windows that a setting names.

    Args:
        window: None; a name of `WINDOWS` or `PERCENTILES`; ``[low, high]``; or a list of three of these, for red,
            green and blue.

    Returns:
        None, one or three.

    Raises:
        WindowError: anything else; the message lists the names.
    """
    if window is None:
        return ()
    parts = window if isinstance(window, list | tuple) and not _is_pair(window) else [window]
    if len(parts) not in (1, 3):
        raise WindowError(_expected(window))
    return tuple(_one(part, window) for part in parts)


def plain_window(window: Any) -> Any:
    """A window as a file holds it: None, a name, ``[low, high]`` or a list of three; errors as from `parse_window`."""
    parts: list[Any] = [one.name or list(one.ends or ()) for one in parse_window(window)]
    return (parts[0] if len(parts) == 1 else parts) if parts else None


def window_for(records: Iterable[Mapping[str, Any]], window: Any = None) -> Any:
    """The window of a run: the one that was asked for, else the usual one of the modality that all records have.

    Args:
        records: with the key ``modality`` where a list says it, such as ``"CT"``, ``"MRI"`` or ``"T1w"``.
        window: what was asked for, see `parse_window`.

    Returns:
        The window as `plain_window` gives it: ``soft_tissue`` for CT, ``mr`` for MR, which is logged; None where
        records are of several modalities or of none that is known.

    Raises:
        WindowError: what was asked for is no window.
    """
    if window is not None:
        return plain_window(window)
    found = {_modality(record.get("modality")) for record in records}
    usual = BY_MODALITY.get(found.pop()) if len(found) == 1 else None
    if usual:
        (told,) = parse_window(usual)
        ends = f", {told.ends[0]:g} to {told.ends[1]:g}" if told.ends else ""
        logger.info("%s%s, by the modality that the list names; --window takes another", told, ends)
    return usual


def _modality(text: Any) -> str:
    word = str(text or "").strip().lower()
    if word.startswith("ct"):
        return "CT"
    return "MR" if any(part in word for part in _MR_WORDS) else ""


def _is_pair(window: Sequence[Any]) -> bool:
    return len(window) == 2 and all(isinstance(one, int | float) for one in window)


def _one(part: Any, window: Any) -> Window:
    if isinstance(part, str):
        name = part.strip().lower().replace(" ", "_").replace("-", "_")
        if name in PERCENTILES:
            return Window(name, None)
        if name in WINDOWS:
            return Window(name, WINDOWS[name])
    elif isinstance(part, list | tuple) and _is_pair(part) and not any(isinstance(one, bool) for one in part):
        low, high = (float(one) for one in part)
        if math.isfinite(low) and math.isfinite(high) and low < high:
            return Window("", (low, high))
    raise WindowError(_expected(window))


def _expected(window: Any) -> str:
    names = ", ".join([*sorted(WINDOWS), *PERCENTILES])
    forms = f"a name ({names}), [LOW,HIGH] with LOW below HIGH, or a list of three of these"
    return f"a window must be {forms}, got {window}"
