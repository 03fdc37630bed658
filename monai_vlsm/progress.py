# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Progress bars: on a terminal only, and gone when the work is done."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from tqdm import tqdm

__all__ = ["BAR", "progress_bar"]

T = TypeVar("T")
BAR: dict[str, Any] = {"leave": False, "disable": None, "dynamic_ncols": True}
"""Arguments of tqdm that make such a bar; ``disable=None`` is tqdm's word for "where there is no terminal"."""


def progress_bar(items: Iterable[T], what: str, total: int | None = None, unit: str = "it") -> Iterable[T]:
    """Hand items on, with a bar for those that have gone by.

    Args:
        items: what is worked on.
        what: the work, such as ``"checking files"``.
        total: number of items, if ``len(items)`` does not tell.
        unit: what an item is.
    """
    bar: Iterable[T] = tqdm(items, what, total, unit=unit, **BAR)
    return bar
