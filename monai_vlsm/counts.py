# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Numbers in sentences, and the number of images below which a score says nothing."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FEWEST", "counted", "few_images"]

FEWEST = 10
"""Fewer images than this and their mean score says nothing about others: no test, no verdict, and a warning."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what is counted: ``1 image``, ``2 images``, ``0 batches``.

    Args:
        number: how many.
        noun: of one of them, in words before it too: ``other image``.
        plural: of several, where it is not the noun with an s (es behind s, x, ch, sh).
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number} {plural or noun + ('es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's')}"


def few_images(lists: Mapping[str, int], noun: str = "image") -> str:
    """A warning, in one line, that lists to take scores from are too small; empty where none is.

    Args:
        lists: what each is called, to the number of its images.
        noun: what was counted in their place, such as ``patient`` where images are slices of volumes.
    """
    few = " and ".join(f"{name} has {counted(size, noun)}" for name, size in lists.items() if size < FEWEST)
    if not few:
        return ""
    return f"warning: {few}; scores of fewer than {FEWEST} {noun}s say nothing about other {noun}s"
